"""What a study's code needs of every node besides raysim: installed packages, which no study brings with it."""

import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from raysim.engine.likeness import ALWAYS, WHERE_THERE, Neighbours, Wanted
from raysim.engine.shipping import Code, imported, shipped
from raysim.registry import BASES, plural
from raysim.scenario.trial import Trial

_DOTTED = re.compile(r"([A-Za-z_]\w*)(\.\w+)*:[A-Za-z_]\w*")


def compared(folders: Sequence[str], trials: Sequence[Trial] = ()) -> tuple[Code, Neighbours]:
    """The own code of a study, or of a preparation, once all nodes of the cluster have been compared with this process.

    Args:
        folders: where names are looked up besides the installed packages.
        trials: of the study.

    Raises:
        NoCluster: a node would run something else.
    """
    code = shipped(folders)
    wanted = wanted_for(code, trials)
    neighbours = Neighbours(wanted)
    neighbours.check()
    return replace(code, wanted=wanted), neighbours


def wanted_for(code: Code, trials: Iterable[Trial] = ()) -> Wanted:
    """What processes must have to run a study's own code, and the packages that its scenarios name.

    Of what comes from a wheel and is only imported by own code the version is compared; of what a scenario names, and
    of modules without a wheel, all files.
    """
    names = {text for trial in trials for text in _texts(trial.scenario.model_dump(mode="json"))}
    points = [p for kind in BASES for p in importlib.metadata.entry_points(group=f"raysim.{plural(kind)}")]
    named = {found[1] for text in names if (found := _DOTTED.fullmatch(text))} | {
        _top(p.module) for p in points if p.name in names
    }
    used = {_top(module) for path, content in code.files if path.endswith(".py") for module in imported(content)}
    wheels = importlib.metadata.packages_distributions()
    needed, packages = set[str](), set[str]()
    for top in filter(lambda top: _is_installed(top, code), named | used):
        known = {wheel.lower() for wheel in wheels.get(top, ())}
        if known and (top not in named or known & {*ALWAYS, *WHERE_THERE}):
            needed |= known
        else:
            packages.add(top)
    return Wanted.here(needed, packages)


def _top(module: str) -> str:
    return module.partition(".")[0]


def _texts(value: Any) -> Iterator[str]:
    """All texts in plain values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in cast(Mapping[Any, Any], value).values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _texts(item)


def _is_installed(top: str, code: Code) -> bool:
    """Whether a module was imported, and is neither Python's, nor raysim's, nor among what travels."""
    if top not in sys.modules or top in sys.stdlib_module_names or top in ("raysim", "methods"):
        return False
    spec = sys.modules[top].__spec__
    places = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin or ""]
    return not any(Path(place).resolve().is_relative_to(folder) for place in places if place for folder in code.folders)
