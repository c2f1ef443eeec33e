"""Draw the rooms of the package and the imports between them: python docs/about/rooms.py writes rooms.svg there."""

import ast
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "skbsq"
# Small modules beside the rooms, and the top-level package, which imports everything.
LEFT_OUT = {"__init__", "exceptions", "_files", "_forks"}


def room_imports():
    """Rooms that each room imports from.

    Returns
    -------
    dict of str to set of str
    """
    paths = sorted(PACKAGE.rglob("*.py"))
    found: dict[str, set[str]] = {name: set() for path in paths if (name := _room_of(path)) not in LEFT_OUT}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if _room_of(path) in found and isinstance(node, ast.ImportFrom) and node.module:
                modules = [f"skbsq.{a.name}" for a in node.names] if node.module == "skbsq" else [node.module]
                rooms = {module.split(".")[1] for module in modules if module.startswith("skbsq.")}
                found[_room_of(path)] |= (rooms & found.keys()) - {_room_of(path)}
    return found


def _room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floors(imports):
    """Floor of each room: one above the highest of those that it imports from."""
    height: dict[str, int] = {}
    while len(height) < len(imports):
        for room, others in imports.items():
            if others <= height.keys():
                height[room] = max((height[other] + 1 for other in others), default=0)
    return height


def seen_through(imports):
    """Keep the arrows that no other arrows imply: a room reached through another room needs no direct arrow."""
    height = floors(imports)
    reached: dict[str, set[str]] = {}
    for room in sorted(imports, key=height.__getitem__):
        reached[room] = set().union(imports[room], *(reached[other] for other in imports[room]))
    return {
        room: {other for other in others if not any(other in reached[between] for between in others - {other})}
        for room, others in imports.items()
    }


def draw():
    """Write the picture."""
    matplotlib.rcParams["svg.hashsalt"] = "rooms"  # the same rooms give the same text
    imports = room_imports()
    height = floors(imports)
    place = {}
    for floor in set(height.values()):
        on_floor = sorted(room for room in imports if height[room] == floor)
        place |= {room: ((k + 0.5) / len(on_floor), floor) for k, room in enumerate(on_floor)}
    figure, ax = plt.subplots(figsize=(9, 1.0 * (max(height.values()) + 1)))
    box = {"boxstyle": "round,pad=0.4", "facecolor": "#eef3fb", "edgecolor": "#4269a8"}
    for room, (x, y) in place.items():
        ax.text(x, y, room, ha="center", va="center", family="monospace", fontsize=10, bbox=box, zorder=3)
    for room, others in seen_through(imports).items():
        for other in sorted(others):
            (x, y), (to_x, to_y) = place[room], place[other]
            arrow = FancyArrowPatch((x, y - 0.22), (to_x, to_y + 0.22), arrowstyle="-|>", mutation_scale=9)
            arrow.set(color="#7a7a7a", linewidth=0.8)
            ax.add_patch(arrow)
    ax.set(xlim=(0, 1), ylim=(-0.5, max(height.values()) + 0.5))
    ax.axis("off")
    figure.savefig(HERE / "rooms.svg", bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    draw()
