"""The built site in a browser: at two widths and in both themes nothing overflows, is cut off or raises an error."""

import contextlib
import os
import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from selenium import webdriver

from tests.export import tools

WIDTHS = (1280, 390)
THEMES = ("light", "dark")
# Templates make the pages in these folders. The largest page of each kind is opened; tests/test_site.py checks the
# links of the others.
TEMPLATES = {
    "reference/api/": r'<dl class="py (class|function|exception)">',
    "_modules/": r"<h1>(Source code) for",
}
# Messages of the console that are not the fault of a page, each with the reason. Messages below the level SEVERE are
# not read: only script errors and files that do not load have this level.
IGNORED = {
    r"/favicon\.ico - Failed to load resource": "browsers ask for it by themselves, and the site has none",
    r"/pydata-sphinx-theme\.js\S* .*Got invalid theme mode: \. Resetting": "what the theme says at the first visit",
}

# Waits for fonts and pictures, those further down included; returns the pictures that did not load.
PICTURES = """
const done = arguments[arguments.length - 1];
const pictures = Array.from(document.images);
const loaded = pictures.map((picture) => {
  picture.loading = "eager";
  return picture.complete || new Promise((go) => picture.onload = picture.onerror = go);
});
Promise.all([document.fonts.ready, ...loaded]).then(() => done(
  pictures.filter((picture) => picture.naturalWidth === 0).map((picture) => picture.getAttribute("src"))));
"""

# Sets the theme. Returns the width of a document that overflows, with the elements that stand out, and the elements
# that cut off their content. Elements that scroll by themselves are no fault, nor are those for screen readers, which
# are smaller than 5 pixels.
OVERFLOW = """
document.documentElement.dataset.theme = document.documentElement.dataset.mode = arguments[0];
const page = document.documentElement;
const elements = Array.from(document.body.querySelectorAll("*"));
const nameOf = (element) => [element.localName, ...element.classList].join(".");
const overflowOf = (element) => getComputedStyle(element).overflowX;
const faults = [];
const width = Math.max(page.scrollWidth, document.body.scrollWidth);
if (width > page.clientWidth) {
  const inside = (element) =>
    element !== document.body && (overflowOf(element) !== "visible" || inside(element.parentElement));
  const wide = elements.filter((element) =>
    element.getBoundingClientRect().right > page.clientWidth + 0.5 && !inside(element.parentElement));
  faults.push(`the document is ${width} pixels wide: ${wide.slice(-3).map(nameOf).join(", ")}`);
}
for (const element of elements) {
  const hidden = element.scrollWidth - element.clientWidth;
  const shown = Math.min(element.clientWidth, element.clientHeight);
  if (hidden > 1 && shown >= 5 && ["hidden", "clip"].includes(overflowOf(element)))
    faults.push(`${nameOf(element)} cuts off ${hidden} pixels`);
}
return faults;
"""


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def served(folder):
    """Serve a folder on a free port; yields its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium without a window, which finds no host but this one: the site needs no network."""
    tools.need_program("chromium")
    tools.need_program("chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.add_argument("--headless=new")
    options.add_argument("--disable-dev-shm-usage")
    options.add_argument("--hide-scrollbars")  # as on a phone, they take no width
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # chromium refuses to start as root with it
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(20)
    driver.set_page_load_timeout(20)
    yield driver
    driver.quit()


def pages_of(folder):
    """Names of the pages to open: every page, but of those from a template the largest."""
    largest, pages = {}, []
    for path in sorted(folder.rglob("*.html")):
        name = path.relative_to(folder).as_posix()
        if name.startswith("_static/"):
            continue
        pattern = next((TEMPLATES[start] for start in TEMPLATES if name.startswith(start)), None)
        kind = pattern and re.search(pattern, path.read_text(encoding="utf-8"))
        if kind is None:
            pages.append(name)
        elif kind[1] not in largest or path.stat().st_size > (folder / largest[kind[1]]).stat().st_size:
            largest[kind[1]] = name
    return pages + sorted(largest.values())


def faults_of(browser, address):
    """Open a page and return its faults, at every width and in every theme."""
    browser.get(address)
    faults = [f"broken image: {source}" for source in browser.execute_async_script(PICTURES)]
    for width in WIDTHS:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)  # windows are never narrower than 500
        for theme in THEMES:
            found = browser.execute_script(OVERFLOW, theme)
            faults += [f"{width} pixels, {theme}: {fault}" for fault in found]
    messages = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return faults + [text for text in messages if not any(re.search(pattern, text) for pattern in IGNORED)]


def test_every_page_of_the_site(built_site, browser):
    pages = pages_of(built_site)
    assert len(pages) > 50
    with served(built_site) as address:
        faults = {page: faults_of(browser, f"{address}/{page}") for page in pages}
    faults = {page: found for page, found in faults.items() if found}
    assert not faults, "\n".join(f"{page}: {fault}" for page, found in faults.items() for fault in found)


PAGE = '<!doctype html><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>A text.", []),
        ('<img src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7" alt="">', []),
        ('<img src="gone.png" alt="">', [r"^broken image: gone\.png$", "404"]),
        ("<div style='margin-top: 3000px'><img loading='lazy' src='gone.png'>", ["^broken image: gone", "404"]),
        (
            '<p class="a" style="width: 600px">Wide.',
            [f"^390 pixels, {theme}: the document is 608 pixels wide: p.a$" for theme in THEMES],
        ),
        ('<div style="overflow-x: auto"><p style="width: 600px">Wide.', []),
        (
            '<style>[data-theme="dark"] p {width: 2000px}</style><p>Wide.',
            [rf"^{width} pixels, dark: .* 2008 pixels wide: p$" for width in WIDTHS],
        ),
        (
            '<div style="width: 90px; overflow: hidden"><p style="width: 100px">Wide.',
            [f"^{width} pixels, {theme}: div cuts off 10 pixels$" for width in WIDTHS for theme in THEMES],
        ),
        ("<script>undefined.x</script>", ["TypeError"]),
        ('<script src="https://example.org/x.js"></script>', ["example.org.*ERR_NAME_NOT_RESOLVED"]),
    ],
)
def test_faults_are_found(browser, tmp_path, body, expected):
    (tmp_path / "page.html").write_text(PAGE + body)
    with served(tmp_path) as address:
        faults = faults_of(browser, f"{address}/page.html")
    assert len(faults) == len(expected), faults
    for fault, pattern in zip(faults, expected, strict=True):
        assert re.search(pattern, fault)


def test_the_largest_page_stands_for_a_template(tmp_path):
    texts = {
        "index.html": "",
        "_static/x.html": "",
        "reference/api.html": "",
        "reference/api/A.html": '<dl class="py class">',
        "reference/api/B.html": '<dl class="py class"> and more',
        "reference/api/C.html": '<dl class="py function">',
        "_modules/index.html": "",
        "_modules/skbsq/d.html": "<h1>Source code for",
        "_modules/e.html": "<h1>Source code for e",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert pages_of(tmp_path) == [
        *("_modules/index.html", "index.html", "reference/api.html"),
        *("_modules/e.html", "reference/api/B.html", "reference/api/C.html"),
    ]
