"""Imports run one way, from the command line down to the compiled modules.

python tests/test_layers.py        # prints the layers, with what each module or folder imports
"""

import ast
import graphlib
from pathlib import Path

import gilfree

PACKAGE = Path(gilfree.__file__).parent
# From top to bottom. A unit, which is a module or a folder of the package, imports only from units
# of lower layers.
LAYERS = (
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
    ("_chunks",),  # compiled, and used by _kernels
)
LAYER_OF = {unit: number for number, layer in enumerate(LAYERS) for unit in layer}


def modules():
    """Return the path of each Python module, by its name below the package."""
    paths = {path.relative_to(PACKAGE): path for path in PACKAGE.rglob("*.py")}
    names = {".".join(short.with_suffix("").parts): path for short, path in paths.items()}
    return {name.removesuffix(".__init__"): path for name, path in names.items()}


def imports_of(path):
    """Return what a module imports from the package anywhere, except under TYPE_CHECKING."""
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
    return found - {""}  # the package itself only has names


GRAPH = {name: imports_of(path) for name, path in modules().items() if name != "__init__"}


def unit(module):
    return module.split(".")[0]


def test_every_module_and_folder_has_a_layer():
    assert {unit(module) for module in GRAPH} <= LAYER_OF.keys()


def test_no_import_runs_up():
    up = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if unit(module) != unit(other) and LAYER_OF[unit(module)] >= LAYER_OF[unit(other)]
    ]
    assert up == []


def test_no_import_runs_in_a_circle():
    list(graphlib.TopologicalSorter(GRAPH).static_order())


if __name__ == "__main__":
    for layer in LAYERS:
        for name in layer:
            others = {unit(o) for m in GRAPH if unit(m) == name for o in GRAPH[m]} - {name}
            below = sorted(others, key=lambda other: (LAYER_OF[other], other))
            print(f"{name:12} {', '.join(below)}".rstrip())  # noqa: T201
        print()  # noqa: T201
