"""How a scenario's trials can be run again: commands, versions, digests, and how they were set."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from raysim.report.reading.folders import Study
from raysim.report.reading.results import key
from raysim.report.render.html.items import Item, Lines, Note, Shown
from raysim.report.tables.tables import Table

SETTINGS = "scenario.yaml"
_AGAIN = (
    "Each trial's folder has its settings as used; with the same versions and data the figures are the same. DIR is a "
    "folder that is not there yet; the first command makes this page again."
)


def settings_of(study: Study, scenario: str) -> tuple[str, str]:
    """The first trial of which the settings are there, and their YAML as used; both empty where there are none."""
    for place in study.places:
        for home in study.homes.get(scenario, ()):
            path = home / place[1] / SETTINGS
            if place[0] == scenario and path.exists():
                return place[1], path.read_text(encoding="utf-8")
    return "", ""


def description_of(text: str) -> str:
    """What the YAML says of itself."""
    data: Any = yaml.safe_load(text) if text else None
    found = cast("Mapping[str, Any]", data).get("description") if isinstance(data, dict) else None
    return str(found or "")


def origin_items(study: Study, scenario: str) -> list[Item]:
    """A command a trial, then versions and digests, and whether they are the same for all."""
    trials = [t for t in study.results.trials if t.scenario == scenario]
    paths = [study.folders[key(t)] / SETTINGS for t in trials]
    commands = tuple(f"raysim run {shlex.quote(_posix(path))} --out DIR" for path in paths if path.exists())
    found: list[Item] = []
    if commands:
        found.append(Note(_AGAIN))
        again = " ".join(shlex.quote(_posix(out)) for out in study.outs)
        found.append(Lines("The commands", (f"raysim report {again} --format html", *commands), "folded"))
    values: dict[str, dict[str, None]] = {}
    for _, summary in ((t, s) for t, s in study.results.ordered if t.scenario == scenario):
        for name, value in _flat(summary.get("origin") or {}):
            values.setdefault(name, {})[value] = None
    if values:
        lines = tuple((name, "; ".join(several)) for name, several in values.items())
        found.append(Shown(Table("", "", ("what", "version or digest"), lines, frozenset(), 2, 2), "Made by"))
    return found


def _flat(origin: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Versions by name, then what is digested: `code plan.py`."""
    plain = [(name, str(value)) for name, value in origin.items() if not isinstance(value, dict)]
    nested = [(name, cast("Mapping[str, Any]", value)) for name, value in origin.items() if isinstance(value, dict)]
    return [*plain, *((f"{name} {part}", str(value)) for name, values in nested for part, value in values.items())]


def _posix(path: Path) -> str:
    return path.as_posix()
