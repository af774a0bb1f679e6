"""The house: imports run one way, from the command line down to the facts of the system.

python tests/test_floors.py        # prints the floors, with what each imports
"""

import ast
import graphlib
from pathlib import Path

import gilfree

PACKAGE = Path(gilfree.__file__).parent
# From the top to the bottom. A room is a folder or a module; it imports from lower floors alone.
FLOORS = (
    ("__main__",),
    ("cli", "notebook", "pytest_plugin"),
    ("show", "suite"),
    ("demo",),
    ("survey",),
    ("measure", "recording", "testing"),
    ("gil",),
    ("kernels",),
    ("_system", "explain"),
    ("_arguments", "_files", "_html", "_isa", "_lazy", "_words"),
    ("_cpu", "_kernels", "_macros", "_start_line"),  # compiled
    ("_chunks",),  # which _kernels takes
)
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}


def modules():
    """Return the path of each module in Python, by its name below the package."""
    paths = {path.relative_to(PACKAGE): path for path in PACKAGE.rglob("*.py")}
    names = {".".join(short.with_suffix("").parts): path for short, path in paths.items()}
    return {name.removesuffix(".__init__"): path for name, path in names.items()}


def imports_of(path):
    """Return what a module imports of the package, anywhere but for the type checker alone."""
    found, nodes = set(), [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gilfree":
            home = node.module.removeprefix("gilfree").lstrip(".")
            for name in node.names:
                inner = f"{home}.{name.name}".lstrip(".")
                is_module = (PACKAGE / inner.replace(".", "/")).exists() or any(
                    PACKAGE.glob(f"{inner.replace('.', '/')}.*")
                )
                found.add(inner if is_module else home)
        nodes += ast.iter_child_nodes(node)
    return found - {""}  # the package itself has names alone


GRAPH = {name: imports_of(path) for name, path in modules().items() if name != "__init__"}


def room(module):
    return module.split(".")[0]


def test_every_room_has_a_floor():
    assert {room(module) for module in GRAPH} <= FLOOR_OF.keys()


def test_no_import_runs_up():
    up = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if room(module) != room(other) and FLOOR_OF[room(module)] >= FLOOR_OF[room(other)]
    ]
    assert up == []


def test_no_import_runs_in_a_circle():
    list(graphlib.TopologicalSorter(GRAPH).static_order())


if __name__ == "__main__":
    for floor in FLOORS:
        for name in floor:
            others = {room(o) for m in GRAPH if room(m) == name for o in GRAPH[m]} - {name}
            below = sorted(others, key=lambda other: (FLOOR_OF[other], other))
            print(f"{name:12} {', '.join(below)}".rstrip())  # noqa: T201
        print()  # noqa: T201
