"""If a tool cannot do what a test needs, the test is skipped with the reason; under CI it fails."""

import os

import pytest

from tests.export import driver, tools

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the fake compilers are shell scripts")

# Builds a "program" that ends with status 0, but fails with the flags of a sanitizer.
CLANG_WITHOUT_RUNTIME = """\
#!/bin/sh
case "$*" in
*-fsanitize*) echo "ld: cannot find libclang_rt.asan.a" >&2; exit 1 ;;
esac
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\nexit 0\\n' > "$2"
/bin/chmod +x "$2"
"""
# Reports success, but builds a "program" that ends with status 7.
GCC_OF_BROKEN_PROGRAMS = """\
#!/bin/sh
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\nexit 7\\n' > "$2"
/bin/chmod +x "$2"
"""
NO_RUNTIME = (
    r"clang .*-fsanitize=.* builds no program that runs \(ld: cannot find libclang_rt\.asan\.a\); "
    r"on Debian: apt install clang libc6-dev libclang-rt-dev"
)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Folder that is the only one in PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.fixture(params=[False, True], ids=["user", "CI"])
def stopped(request, monkeypatch):
    """The exception that ends a test whose tool is missing."""
    if request.param:
        monkeypatch.setenv("CI", "1")
        return pytest.fail.Exception
    monkeypatch.delenv("CI", raising=False)
    return pytest.skip.Exception


def install(path, name, script):
    (path / name).write_text(script, encoding="ascii")
    (path / name).chmod(0o755)


def test_compiler_without_sanitizer_runtime(path, stopped):
    """On Debian, three tests found a clang and then failed without libclang-rt."""
    install(path, "clang", CLANG_WITHOUT_RUNTIME)
    tools.need("clang", *driver.FLAVOURS["c99"])
    with pytest.raises(stopped, match=NO_RUNTIME):
        tools.need("clang", *driver.FLAVOURS["sanitized"])


@pytest.mark.parametrize(
    ("script", "flag", "problem"),
    [
        (None, "-std=c99", r"^there is no gcc; on Debian: apt install gcc libc6-dev$"),
        (GCC_OF_BROKEN_PROGRAMS, "-xc++", r"gcc -xc\+\+ builds no program that runs \(exit status 7\).* g\+\+$"),
        ("#!/no/such/interpreter\n", "-std=c99", "No such file"),
    ],
)
def test_compiler_that_builds_no_program(script, flag, problem, path, stopped):
    if script is not None:
        install(path, "gcc", script)
    with pytest.raises(stopped, match=problem):
        tools.need("gcc", flag)


def test_no_emulator(path, stopped):
    install(path, "clang", CLANG_WITHOUT_RUNTIME)
    with pytest.raises(stopped, match="there is no qemu-arm; on Debian: apt install qemu-user"):
        tools.need("clang", emulator=("qemu-arm",))


def test_no_program(stopped, monkeypatch):
    monkeypatch.setattr(tools.shutil, "which", lambda *_, **__: None)
    with pytest.raises(stopped, match="there is no mosquitto; on Debian: apt install mosquitto"):
        tools.need_program("mosquitto")


def test_required_tool_fails_everywhere(path, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.fail.Exception, match="there is no gcc"):
        tools.need("gcc", required=True)


def test_any_compiler_will_do(path, stopped):
    install(path, "clang", CLANG_WITHOUT_RUNTIME)
    assert tools.need_c("-std=c99") == ("clang", "-std=c99")
    with pytest.raises(stopped, match=rf"there is no gcc; .*; {NO_RUNTIME}"):
        tools.need_c(*driver.SANITIZE)


def test_each_command_is_probed_once(path):
    count = path / "count"
    install(path, "gcc", f"#!/bin/sh\necho >> {count}\n" + CLANG_WITHOUT_RUNTIME.partition("\n")[2])
    for _ in range(3):
        tools.need("gcc", "-O2")
    tools.need("gcc", "-O1")
    assert len(count.read_text().splitlines()) == 2
