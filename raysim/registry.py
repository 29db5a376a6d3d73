"""Methods, datasets, algorithms, generators and features are found by name, never by import.

A name is a file in its folder (`zero_fill` -> `methods/zero_fill.py`; for methods also in a folder `methods` beside the
scenario or where one works), an entry point of the group
`raysim.<kind>s`, or `package.module:Class` (`file.py:Class`) from anywhere on the path. Metrics, partitions, missing
patterns and augmentations are functions, or classes whose instances are called like functions; in a folder they have
their file's name.
"""

import ast
import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from raysim import constructors

FOLDERS = {"method": "methods", "dataset": "raysim.datasets", "algorithm": "raysim.algorithms",
           "generator": "raysim.generators", "feature": "raysim.features",
           "tracker": "raysim.report.trackers", "metric": "raysim.evaluation.metrics"}  # fmt: skip
CALLED = ("metric", "partition", "missing", "augmentation")
"""Kinds that are functions, or classes whose instances are called: then the constructor takes the options."""
BASES = {"method": ("raysim.method", "Method"), "dataset": ("raysim.data.dataset", "Source"),
         "algorithm": ("raysim.algorithms.base", "Algorithm"), "generator": ("raysim.generators.base", "Generator"),
         "feature": ("raysim.data.extractor", "Extractor"), "tracker": ("raysim.report.trackers.base", "Tracker"),
         "encoder": ("torch.nn", "Module"), "fusion": ("torch.nn", "Module"),
         **dict.fromkeys(CALLED, ("collections.abc", "Callable"))}  # fmt: skip
GIVEN = {"encoder": ("modality", "in_channels", "in_features", "vocabulary", "dim", "out_dim"),
         "fusion": ("modalities", "dim"), "metric": ("scores", "labels", "classes"),
         "partition": ("labels", "natural", "samples", "rng"),
         "missing": ("present", "parts", "labels", "names", "split", "rng"),
         "augmentation": ("x", "lengths", "noise")}  # fmt: skip
"""What raysim gives the constructors of torch modules, and functions, that ask for it by these names; all else is an
option."""
ELSEWHERE = {"metric": {**dict.fromkeys(("auroc", "auc", "roc_auc", "roc_auc_score", "aucroc", "auc_roc"), "macro_auc"),
                        **dict.fromkeys(("balanced_accuracy", "macro_recall", "uwa", "bacc"), "uar"),
                        **dict.fromkeys(("acc", "top1", "top_1", "micro_f1"), "accuracy"),
                        **dict.fromkeys(("f1_score", "f1_macro", "macrof1"), "macro_f1"),
                        **dict.fromkeys(("f1_weighted", "wf1", "w_f1"), "weighted_f1"),
                        **dict.fromkeys(("ap", "map", "average_precision"), "mean_average_precision"),
                        **dict.fromkeys(("pr_auc", "auc_pr", "aupr"), "auprc"),
                        **dict.fromkeys(("mse", "mean_squared_error"), "rmse"),
                        **dict.fromkeys(("l1", "mean_absolute_error"), "mae"),
                        **dict.fromkeys(("corr", "correlation", "pearsonr", "pcc"), "pearson"),
                        **dict.fromkeys(("r2_score", "r_squared"), "r2"),
                        **dict.fromkeys(("brier_score",), "brier"),
                        **dict.fromkeys(("calibration_error",), "ece")}}  # fmt: skip
"""What is called otherwise elsewhere, and by which name it, or what is nearest to it, is found here."""
ALIKE = 0.85
"""From which likeness on a name is taken for another one that is misspelt."""
HOME = Path(__file__).resolve().parents[1] / "methods"
"""The methods that come with raysim."""
HALFWAY = {"dataset": {"Recipe"}, "generator": {"Separate", "Sampler"}}
"""Classes outside the folders that extend a base and are there to be extended."""


class UnknownNameError(LookupError):
    """No such component; the message names near misses and what there is."""


@dataclass(frozen=True)
class Entry:
    """One listed component."""

    name: str
    summary: str
    origin: str


def listed(kind: str) -> list[Entry]:
    """All components of a kind that have a short name, sorted; nothing is imported."""
    entries = [Entry(p.stem, _summary(p), str(p)) for p in _files(kind)]
    entries += [Entry(e.name, e.value, e.value) for e in entry_points(group=f"raysim.{plural(kind)}")]
    return sorted(entries, key=lambda e: e.name)


def is_own(kind: str, name: str) -> bool:
    """Whether a name is `package.module:Class` or an entry point: of a kind that the schema lists besides."""
    return ":" in name or name in _points(kind)


@cache
def _points(kind: str) -> frozenset[str]:
    """Names of the entry points of a kind: looking through all packages takes tens of milliseconds."""
    return frozenset(entry_points(group=f"raysim.{plural(kind)}").names)


def plural(kind: str) -> str:
    """What several of a kind are called."""
    return kind if kind == "missing" else f"{kind}s"


def find(kind: str, name: str) -> type[Any]:
    """The class behind a name; a function, where the kind is one of functions.

    Raises:
        UnknownNameError: there is none.
        Exception: whatever importing the component's own file raises.
    """
    _package(FOLDERS["method"])
    if ":" in name:
        return _dotted(kind, name)
    found = [p for p in _files(kind) if p.stem == name]
    if other := next((p for p in found[1:] if p.read_bytes() != found[0].read_bytes()), None):
        raise UnknownNameError(f"there are two {kind}s '{name}', {found[0]} and {other}; rename yours")
    if found:
        return _only_class(kind, f"{FOLDERS[kind]}.{name}")
    for point in entry_points(group=f"raysim.{plural(kind)}", name=name):
        return _dotted(kind, point.value)
    if other := _without_class(kind, name):
        raise UnknownNameError(f"{other} has no class that extends {BASES[kind][1]}; write class X({BASES[kind][1]})")
    names = [e.name for e in listed(kind)]
    known = here(kind, name)
    near = get_close_matches(name, names, n=1) if known is None else [known]
    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names)}; or package.module:Class"
    raise UnknownNameError(f"there is no {kind} '{name}'; {hint}")


def here(kind: str, name: str) -> str | None:
    """What is found here by another name that a component has elsewhere; None where that is not known."""
    return ELSEWHERE.get(kind, {}).get(name.lower().replace("-", "_"))


def name_of(kind: str, component: type[Any]) -> str:
    """The name by which a component is found: the other way round."""
    package, _, name = component.__module__.rpartition(".")
    return name if package == FOLDERS[kind] else f"{component.__module__}:{component.__qualname__}"


def misspelt(kind: str, component: type[Any]) -> tuple[str, str] | None:
    """A public name that a class adds to its kind's base and the one of the base that it was likely meant to be.

    Nothing of raysim's would ever call it. None where there is none, as of a function; what the class has under both
    names is its own.
    """
    if kind in CALLED:
        return None
    base = _base(kind)
    own = {n for c in component.__mro__ if c is not base and issubclass(c, base) for n in vars(c)}
    meant = [n for n in dir(base) if not n.startswith("_") and n not in own]
    added = sorted(n for n in own if not n.startswith("_") and not hasattr(base, n))
    near = ((n, get_close_matches(n, meant, n=1, cutoff=ALIKE)) for n in added)
    return next(((name, found[0]) for name, found in near if found), None)


def options(component: type[Any], values: Mapping[str, Any]) -> Any:
    """A component's `Options`, made from what a scenario says.

    Read as JSON, strictly: a list will do for a tuple, but neither text nor true for a number.

    Raises:
        pydantic.ValidationError: a value is not as `Options` declares it, or a key is unknown.
    """
    return validated(component.Options, values)


def settings_of(kind: str, component: type[Any]) -> type[BaseModel]:
    """What a scenario may say of a component: its `Options`, or what a function or a constructor takes besides.

    Raises:
        UnknownNameError: `Options` is something else.
    """
    if kind in CALLED and inspect.isclass(component):
        return constructors.options_of(component, ())
    if kind in GIVEN:
        return constructors.options_of(component, GIVEN[kind])
    if not issubclass(component.Options, BaseModel):
        raise UnknownNameError(f"Options of {name_of(kind, component)} must be a pydantic model")
    return component.Options


def validated(model: type[Any], values: Mapping[str, Any]) -> Any:
    """A pydantic model from plain values, as `options` reads them.

    Raises:
        pydantic.ValidationError: a value is not as the model declares it, or a key is unknown that it does not allow.
    """
    extra = "allow" if model.model_config.get("extra") == "allow" else "forbid"
    return model.model_validate_json(json.dumps(dict(values)), strict=True, extra=extra)


def _dotted(kind: str, name: str) -> type[Any]:
    module_name, _, class_name = name.partition(":")
    module_name = module_name.removesuffix(".py")
    if not all(part.isidentifier() for part in (*module_name.split("."), class_name)):
        what = "function" if kind in CALLED else "Class"
        raise UnknownNameError(f"'{name}' is no name; write package.module:{what}")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise UnknownNameError(
                f"there is no module '{module_name}'; put it beside the scenario, in the current folder, or install it"
            ) from error
        raise
    base = _base(kind)
    called = kind in CALLED
    fitting: dict[str, Any] = {
        n: c
        for n, c in vars(module).items()
        if (called and inspect.isfunction(c)) or (inspect.isclass(c) and issubclass(c, base))
    }
    found = fitting.get(class_name)
    if found is None and class_name in vars(module):
        raise UnknownNameError(f"'{class_name}' in '{module_name}' is no {_other(kind, class_name)}")
    if found is None:
        near = get_close_matches(class_name, fitting, n=1)
        wanted = "a function" if called else f"a subclass of {base.__name__}"
        hint = f"did you mean '{near[0]}'?" if near else f"write {wanted}"
        if hidden := _hidden(module_name.partition(".")[0]):
            hint = f"rename {hidden}, which another module of that name hides"
        raise UnknownNameError(f"'{module_name}' has no {kind} {_noun(kind)} '{class_name}'; {hint}")
    return found


def _other(kind: str, name: str) -> str:
    """What something of that name is not, and would have to be."""
    if kind in CALLED:
        return "function; write a function, or a class with __call__"
    base = BASES[kind][1]
    return f"{base}; write class {name}({base})"


def _noun(kind: str) -> str:
    return "function" if kind in CALLED else "class"


def _hidden(top: str) -> Path | None:
    """A file on the path that has a module's name, and is not the one that was imported."""
    used = getattr(sys.modules[top], "__file__", None)
    files = (file for p in sys.path for file in (Path(p, f"{top}.py"), Path(p, top, "__init__.py")) if file.is_file())
    return next((file for file in files if used is None or not file.samefile(used)), None)


def _package(name: str) -> ModuleType:
    """The package of a folder. `methods` is the one beside raysim, whatever is called so where the user works.

    Folders of that name on the path stand behind it, so that their files are found, too.
    """
    if name != HOME.name or not HOME.is_dir():
        return importlib.import_module(name)
    package = sys.modules.get(name)
    if package is None or str(HOME) not in getattr(package, "__path__", ()):
        spec = importlib.util.spec_from_file_location(
            name, HOME / "__init__.py", submodule_search_locations=[str(HOME)]
        )
        assert spec is not None, "a file with that ending has a loader"
        assert spec.loader is not None, "likewise"
        package = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(package)
    folders = (str(Path(p).resolve() / name) for p in sys.path if Path(p, name).is_dir())
    package.__path__ += [f for f in dict.fromkeys(folders) if f not in package.__path__]
    return package


def _base(kind: str) -> type[Any]:
    module, name = BASES[kind]
    return getattr(importlib.import_module(module), name)


def _files(kind: str) -> list[Path]:
    """The component files of a kind: those with a class that extends the kind's base, as far as names tell.

    All, where the kind is one of functions. A file that does not parse counts: importing it tells why. Kinds that the
    schema lists have no folder.
    """
    if kind not in FOLDERS:
        return []
    roots = _package(FOLDERS[kind]).__path__
    paths = [p for root in roots for p in sorted(Path(root).glob("*.py")) if not p.stem.startswith("_")]
    if kind in CALLED:
        return paths
    classes = {p: _classes(p, _stamp(p)) for p in paths}
    known: set[str] = set()
    more = {BASES[kind][1], *HALFWAY.get(kind, ())}
    while more - known:
        known |= more
        more = {name for found in classes.values() for name, bases in (found or {}).items() if bases & known}
    return [p for p, found in classes.items() if found is None or any(bases & known for bases in found.values())]


def _without_class(kind: str, name: str) -> Path | None:
    """A file of that name in a kind's folder, which has no component."""
    roots = _package(FOLDERS[kind]).__path__ if kind in FOLDERS and name.isidentifier() else ()
    return next((path for root in roots if (path := Path(root, f"{name}.py")).is_file()), None)


def _stamp(path: Path) -> tuple[int, int]:
    """Another one once the file was written to."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@cache
def _parse(path: Path, _: tuple[int, int]) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # ValueError: a NUL byte, in some versions of Python
        return None


@cache
def _classes(path: Path, stamp: tuple[int, int]) -> dict[str, set[str]] | None:
    """A file's classes with the last parts of their bases' names; None when it does not parse."""
    tree = _parse(path, stamp)
    if tree is None:
        return None
    nodes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    return {n.name: {ast.unparse(b).split(".")[-1] for b in n.bases} for n in nodes}


def _summary(path: Path) -> str:
    tree = _parse(path, _stamp(path))
    return "does not parse" if tree is None else (ast.get_docstring(tree) or "").partition("\n")[0]


def _only_class(kind: str, module_name: str) -> type[Any]:
    if kind in CALLED:
        return _dotted(kind, f"{module_name}:{module_name.rpartition('.')[2]}")
    base = _base(kind)
    found = vars(importlib.import_module(module_name)).values()
    own = [c for c in found if inspect.isclass(c) and issubclass(c, base) and c.__module__ == module_name]
    if len(own) != 1:
        raise UnknownNameError(f"{module_name} must define one {base.__name__} class, not {len(own)}; split the file")
    return own[0]
