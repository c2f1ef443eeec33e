"""List the commands, with what each measures: python -m benchmarks"""

import ast
from pathlib import Path

_ROOT = Path(__file__).parent


def commands():
    """Find the commands: the modules with a function `main`.

    Returns
    -------
    dict of str to str
        First line of the docstring by name, such as "speed.cost".
    """
    found = {}
    for path in sorted(_ROOT.glob("**/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        has_main = any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)
        name = ".".join(path.relative_to(_ROOT).with_suffix("").parts).removesuffix("__main__").removesuffix(".")
        if has_main and name:
            found[name] = (ast.get_docstring(tree) or "").partition("\n\n")[0].replace("\n", " ")
    return found


def main():
    names = commands()
    longest = max(map(len, names))
    for name, text in names.items():
        print(f"python -m benchmarks.{name:{longest}}  {text}")


if __name__ == "__main__":
    main()
