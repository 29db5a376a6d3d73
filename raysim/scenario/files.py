"""Files that a scenario names: where they are, and what they hold, so that a changed one makes another trial."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from raysim import disk
from raysim.disk import sum_of_file
from raysim.scenario.clients import Stored
from raysim.scenario.errors import Place, ScenarioError
from raysim.scenario.model import MODEL, Start, Torchvision, Whole
from raysim.scenario.schema import Scenario

SECTIONS = ("partition", "missing")
DEFAULT = "DEFAULT"
"""In place of a file of weights: torchvision's own."""
CONFIG = "config.json"
"""What a folder of transformers has."""
Named = TypeVar("Named", Stored, Start)
Digest = Callable[[Path], str]
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
        model: dict[str, Any] = {}
        if (start := scenario.model.start) is not None:
            model["start"] = _pinned(start, "model.start", place, digest)
        networks = {m: spec for m, spec in scenario.model.encoders.items() if isinstance(spec, Whole)}
        if networks:
            pins = {m: _network(spec, f"model.encoders.{m}", place, digest) for m, spec in networks.items()}
            model["encoders"] = {**scenario.model.encoders, **pins}
        if model:
            pinned["model"] = scenario.model.model_copy(update=model)
        return scenario.model_copy(update=pinned) if pinned else scenario

    return pin


def _pinned(section: Named, key: str, place: Callable[[str], Place], digest: Digest) -> Named:
    path = _resolved(section.path, place(f"{key}.path"))
    if isinstance(section, Start) and path.is_dir():
        path /= MODEL
    found = _sum([path], f"{key}.path", section.digest, place, digest)
    return section.model_copy(update={"path": str(path), "digest": found})


def _network(section: Whole, key: str, place: Callable[[str], Place], digest: Digest) -> Whole:
    """A network of another library whose weights are files that are there; one of its hub stays as it is written."""
    if isinstance(section, Torchvision):
        if section.weights in (None, DEFAULT):
            return section
        path = _resolved(section.weights, place(f"{key}.weights"))
        found = _sum([path], f"{key}.weights", section.digest, place, digest)
        return section.model_copy(update={"weights": str(path), "digest": found})
    if section.model is None:
        return section
    where = place(f"{key}.model")
    path = _resolved(section.model, where)
    if not path.is_dir():
        if section.digest is None and not _local(section.model):
            return section
        near = get_close_matches(path.name, [p.name for p in path.parent.glob("*/") if (p / CONFIG).is_file()], n=1)
        raise ScenarioError(where, f"{key}.model", f"{path} is no folder; {_way(near, path)}")
    if not (path / CONFIG).is_file():
        raise ScenarioError(where, f"{key}.model", f"{path} has no {CONFIG}; name a folder that save_pretrained wrote")
    files = [path / CONFIG, *sorted(path.glob("*.safetensors"))]
    found = _sum(files, f"{key}.model", section.digest, place, digest)
    return section.model_copy(update={"model": str(path), "digest": found})


def _local(model: str) -> bool:
    """Whether a name can only be a path: those of the hub are `name` or `owner/name`."""
    return model.startswith((".", "/", "~")) or model.count("/") > 1


def _way(near: list[str], path: Path) -> str:
    if near:
        return f"did you mean '{near[0]}'?"
    return f"relative paths begin at {path.parent}; of a network on the hub write owner/name"


def _resolved(path: str, where: Place) -> Path:
    """An absolute path."""
    return (_folder(where) / path).resolve()


def _folder(where: Place) -> Path:
    """Where relative paths begin."""
    return Path() if where.line is None else Path(where.path).parent


def _sum(files: list[Path], key: str, written: str | None, place: Callable[[str], Place], digest: Digest) -> str:
    """The checksum of a file, or of several."""
    where, section = place(key), key.rpartition(".")[0]
    try:
        sums = [digest(path) for path in files]
    except OSError as error:
        raise ScenarioError(
            where, key,
            f"{error.filename} cannot be read: {error.strerror}; relative paths begin at {_folder(where).resolve()}",
        ) from error  # fmt: skip
    found = sums[0] if len(sums) == 1 else disk.digest(" ".join(sums).encode())
    if written not in (None, found):
        what = files[0] if len(files) == 1 else files[0].parent
        raise ScenarioError(
            place(f"{section}.digest"), f"{section}.digest",
            f"{what} has changed since this was written; undo that, or remove the digest",
        )  # fmt: skip
    return found
