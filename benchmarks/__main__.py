"""List the commands, with what each measures: python -m benchmarks"""

import ast
from pathlib import Path


def commands():
    """What each command measures, by its name."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("**/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path != Path(__file__) and any(
            isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body
        ):
            name = path.parent.name if path.stem == "__main__" else path.stem
            found[name] = (ast.get_docstring(tree) or "").partition("\n\n")[0].replace("\n", " ")
    return found


def main():
    for name, text in commands().items():
        print(f"python -m benchmarks.{name:12} {text}")


if __name__ == "__main__":
    main()
