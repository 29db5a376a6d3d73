"""Files that a scenario names: where they are, and what they hold, so that a changed one makes another trial."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from raysim.disk import sum_of_file
from raysim.scenario.clients import Stored
from raysim.scenario.errors import Place, ScenarioError
from raysim.scenario.model import MODEL, Start
from raysim.scenario.schema import Scenario

SECTIONS = ("partition", "missing")
Named = TypeVar("Named", Stored, Start)
Pin = Callable[[Scenario, Callable[[str], Place]], Scenario]


def pinning() -> Pin:
    """Makes a function that fills in the paths and checksums of a scenario's files, each of which it reads once.

    Its arguments are a scenario and a function from dotted keys to places. Relative paths begin at the folder of the
    file that they are written in, those of `--set` at the current one. It raises a ScenarioError where a file cannot
    be read, or is not the one whose digest is written.
    """

    @cache
    def digest(path: Path) -> str:
        return sum_of_file(path).blake2b

    def pin(scenario: Scenario, place: Callable[[str], Place]) -> Scenario:
        found = {key: section for key in SECTIONS if isinstance(section := getattr(scenario, key), Stored)}
        pinned: dict[str, Any] = {key: _pinned(section, key, place, digest) for key, section in found.items()}
        if (start := scenario.model.start) is not None:
            pinned["model"] = scenario.model.model_copy(update={"start": _pinned(start, "model.start", place, digest)})
        return scenario.model_copy(update=pinned) if pinned else scenario

    return pin


def _pinned(section: Named, key: str, place: Callable[[str], Place], digest: Callable[[Path], str]) -> Named:
    where = place(f"{key}.path")
    folder = Path() if where.line is None else Path(where.path).parent
    path = (folder / section.path).resolve()
    if isinstance(section, Start) and path.is_dir():
        path /= MODEL
    try:
        found = digest(path)
    except OSError as error:
        raise ScenarioError(
            where, f"{key}.path", f"{path} cannot be read: {error.strerror}; relative paths begin at {folder.resolve()}"
        ) from error
    if section.digest not in (None, found):
        raise ScenarioError(
            place(f"{key}.digest"), f"{key}.digest",
            f"{path} has changed since this was written; undo that, or remove the digest",
        )  # fmt: skip
    return section.model_copy(update={"path": str(path), "digest": found})
