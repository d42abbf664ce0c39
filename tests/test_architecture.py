"""The rules that keep the packages apart."""

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "vireid"
FILES = sorted(PACKAGE.rglob("*.py"))
BASE = {"structures", "errors", "utils"}
CORE = {"config", "data", "models", "losses", "evaluation"}
# package → what of vireid it may import besides itself and the base
ALLOWED: dict[str, set[str]] = {
    "structures": set(),
    "errors": set(),
    "utils": set(),
    "synthetic": set(),
    "config": set(),
    "data": set(),
    "models": set(),
    "losses": set(),
    "evaluation": set(),
    "engine": CORE,
    "runs": CORE | {"engine", "synthetic"},  # synthetic: data that a training asks to render
}
ALLOWED["figures"] = ALLOWED["deploy"] = ALLOWED["runs"] | {"runs"}
ALLOWED["cost"] = ALLOWED["crosseval"] = ALLOWED["figures"] | {"figures"}
ALLOWED["sweeps"] = ALLOWED["cost"] | {"cost"}
ALLOWED["reports"] = ALLOWED["sweeps"] | {"sweeps"}
ALLOWED["search"] = ALLOWED["deploy"] | {"deploy", "figures"}
ALLOWED["cli"] = ALLOWED["reports"] | ALLOWED["search"] | {"crosseval", "reports", "search"}
ALLOWED["__main__"] = {"cli"}


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Names of vireid's packages that a file imports, at any depth of nesting."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert not any(alias.name == "*" for alias in node.names), f"{path}: star import"
            modules = [node.module or ""]
            if node.module == "vireid":
                modules = [f"vireid.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in modules if name.startswith("vireid.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    package = package_of(path)
    if package == "__init__":
        return
    assert imports_of(path) - {package} <= ALLOWED[package] | BASE


def test_every_package_has_its_rule():
    assert {package_of(path) for path in FILES} - {"__init__"} == set(ALLOWED)


PLOTTING = ["pandas", "matplotlib", "sklearn", "torchreid"]


@pytest.mark.parametrize(
    ("imported", "heavy"),
    [
        ("vireid", [*PLOTTING, "torch", "scipy", "tensorboard"]),
        ("vireid.models.build, vireid.engine.build", PLOTTING),
    ],
)
def test_imports_stay_light(imported, heavy):
    code = f"import sys, {imported}; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if package_of(p) not in ("data", "config", "synthetic")],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_no_data_set_is_named_outside_its_own_files_and_the_protocols(path):
    if path.name == "protocols.py":
        return
    strings = [
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not {"sysu", "regdb", "llcm", "veri", "vehicleid"} & set(strings)


def test_no_constructor_takes_a_config():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                names = {argument.arg for argument in node.args.args + node.args.kwonlyargs}
                assert "cfg" not in names, path


def imports_between_files() -> dict[str, set[str]]:
    """Which files of the package each file imports, also for types only."""
    names = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in FILES
    }
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {}
    for name, path in names.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        graph[name] = found & set(names) - {name}
    return graph


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Files that import one another in a circle, the first one again at the end; or none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_file_imports_itself_through_others():
    graph = imports_between_files()
    assert "vireid.losses.distillation" in graph["vireid.losses.build"]  # the graph has edges
    assert circle_in(graph) == []


def test_a_circle_of_imports_is_named():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    circle = circle_in(graph)
    assert circle[0] == circle[-1] and set(circle) == {"a", "b", "c"}


def test_folders_stay_small():
    counts = Counter(path.parent for path in FILES)
    assert max(counts.values()) <= 18, counts.most_common(3)


def test_files_and_functions_stay_short():
    root = PACKAGE.parent
    for path in [*FILES, *root.glob("tools/*.py"), *root.glob("benchmarks/*.py")]:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 500, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                doc = ast.get_docstring(node, clean=False)
                length -= doc.count("\n") + 1 if doc else 0
                assert length <= 40, f"{path}:{node.lineno} {node.name} has {length} lines"


def test_no_tool_bears_the_name_of_a_standard_module():
    names = {path.stem for path in PACKAGE.parent.glob("tools/*.py")}
    assert names and not names & sys.stdlib_module_names


def test_no_device_is_hard_coded():
    for path in FILES:
        assert not re.search(r"\.cuda\(\)", path.read_text(encoding="utf-8")), path
