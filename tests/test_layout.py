"""The shape of the repository: which module may import which, and what belongs to a method."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import shipped

from raysim.data.recipe import Recipe
from raysim.registry import find, listed
from raysim.scenario.check import check

ROOT = Path(__file__).parents[1]

# Lowest first. A module imports from its own layer or a lower one, never from a higher one.
LAYERS = (
    {"seeding", "registry", "constructors", "disk", "aside", "store", "version"},
    {"scenario"},
    {"data"},
    {"features", "datasets"},
    {"draws", "batch", "models", "aggregation"},
    {"algorithms", "method"},
    {"generators"},
    {"training", "evaluation", "generation"},
    {"report"},
    {"simulation"},
    {"engine"},
    {"bench", "catalogue", "predictor", "results", "planning", "editor", "draft", "fitness"},
    {"api"},
    {"cli"},
)
METHODS_MAY_IMPORT = {"raysim.method", "raysim.generators", "raysim.models", "raysim.data"}


def dotted(path: Path) -> str:
    """`raysim/data/dataset.py` is `raysim.data.dataset`, `raysim/data/__init__.py` is `raysim.data`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(p): p for folder in ("raysim", "methods") for p in sorted((ROOT / folder).rglob("*.py"))}
METHODS = [p.stem for p in sorted((ROOT / "methods").glob("*.py")) if not p.stem.startswith("_")]
GENERATORS = [e.name for e in listed("generator")]


def imports(source: str) -> set[str]:
    """What a text imports anywhere, also inside functions; `from a import b` is `a.b` where b is a module."""
    found = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found


IMPORTS = {name: imports(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def inside(name: str, *packages: str) -> bool:
    return any(name == p or name.startswith(f"{p}.") for p in packages)


def importers(package: str) -> set[str]:
    return {name for name, targets in IMPORTS.items() if any(inside(t, package) for t in targets)}


def layer(name: str) -> int:
    part = name.split(".")[1]
    found = [i for i, parts in enumerate(LAYERS) if part in parts]
    assert found, f"raysim.{part} is in no layer; add it to LAYERS in {Path(__file__).name}"
    return found[0]


def test_imports_are_read_from_the_text():
    source = "import json\nfrom raysim import seeding\ndef f():\n    from raysim.seeding import stream\n"
    assert imports(source) == {"json", "raysim.seeding"}


@pytest.mark.parametrize("name", [m for m in MODULES if inside(m, "raysim") and m != "raysim"])
def test_layers_run_one_way(name):
    own, targets = layer(name), {t for t in IMPORTS[name] if inside(t, "raysim") and t != "raysim"}
    assert {t for t in targets if layer(t) > own} == set()


def test_no_circle_between_modules():
    graph = {name: (targets & MODULES.keys()) - {name} for name, targets in IMPORTS.items()}
    graphlib.TopologicalSorter(graph).prepare()  # the error names the circle


def test_only_the_engine_imports_ray():
    assert {m for m in importers("ray") if not inside(m, "raysim.engine")} == set()


def test_the_scenario_imports_neither_torch_nor_ray():
    assert {m for m in importers("torch") | importers("ray") if inside(m, "raysim.scenario")} == set()


def test_only_the_terminal_and_the_command_line_import_rich():
    terminal, command_line = (
        {"raysim.report.live.screen", "raysim.report.live.terminal"},
        {"raysim.cli.catalogue", "raysim.cli.data", "raysim.cli.report"},
    )
    assert importers("rich") <= terminal | command_line


def test_methods_see_the_interface_alone_and_are_found_by_name():
    seen = {t for m in METHODS for t in IMPORTS[f"methods.{m}"] if inside(t, "raysim")}
    assert {t for t in seen if not inside(t, *METHODS_MAY_IMPORT)} == set()
    assert {m for m in importers("methods") if inside(m, "raysim")} == set()


def test_the_command_line_and_the_scenario_start_without_torch_ray_and_scikit_learn():
    names = [m for m in MODULES if m == "raysim.cli.app" or inside(m, "raysim.scenario")]
    code = f"import sys, {', '.join(names)}; print(sorted({{'torch', 'ray', 'sklearn'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


def strings(source: str) -> set[str]:
    return {n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def test_nothing_asks_for_a_dataset_s_name():
    prepared = {e.name for e in listed("dataset") if issubclass(find("dataset", e.name), Recipe)}
    assert len(prepared) == 11
    others = {m: p for m, p in MODULES.items() if not inside(m, "raysim.datasets")}
    found = {m: strings(path.read_text(encoding="utf-8")) & prepared for m, path in others.items()}
    # Networks that are known by the data they were made for.
    assert {m: names for m, names in found.items() if names} == {"raysim.generators.base": {"cub"}}


@pytest.mark.parametrize("dataset", [p.stem for p in sorted((ROOT / "raysim" / "datasets").glob("[a-z]*.py"))])
def test_a_dataset_has_a_test(dataset):
    assert any((ROOT / "tests" / folder / f"test_{dataset}.py").is_file() for folder in ("datasets", "data"))


def test_scikit_learn_is_imported_where_a_metric_asks_for_it():
    modules = [m for m in MODULES if inside(m, "raysim.evaluation.metrics")]
    code = f"import sys, {', '.join(modules)}; print('sklearn' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("metric", [e.name for e in listed("metric")])
def test_a_metric_is_tested(metric):
    assert f'"{metric}"' in (ROOT / "tests" / "evaluation" / "test_metrics.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("method", METHODS)
def test_a_method_has_a_test_and_a_scenario(method):
    assert (ROOT / "tests" / "methods" / f"test_{method}.py").is_file()
    assert [p.name for p in shipped.FILES if re.search(rf"\b{method}\b", p.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("generator", GENERATORS)
def test_a_generator_has_a_test_and_a_scenario(generator):
    assert (ROOT / "tests" / "generators" / f"test_{generator}.py").is_file()
    assert [p.name for p in shipped.FILES if re.search(rf"\b{generator}\b", p.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", shipped.FILES, ids=lambda p: p.stem)
def test_a_shipped_scenario_is_valid(path):
    trials = shipped.trials(path)
    assert trials
    for trial in trials:
        if trial.seed == trials[0].seed:
            check(trial)
    assert {trial.scenario.name for trial in trials} == {path.stem}


def test_the_files_that_the_architecture_names_are_there():
    named = set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)", (ROOT / "ARCHITECTURE.md").read_text()))
    assert len(named) > 50
    assert sorted(name for name in named if not ((ROOT / "raysim" / name).exists() or (ROOT / name).exists())) == []
