"""From scenario files to trials: one scenario, one point of its grid and one seed each."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raysim.scenario.errors import Place, ScenarioError, one_line
from raysim.scenario.files import Pin, pinning
from raysim.scenario.grid import MAX_TRIALS, Point, apply, points, put, split
from raysim.scenario.messages import explain
from raysim.scenario.schema import Scenario
from raysim.scenario.source import Node, document, parse, read, write

MAX_NAME = 100


@dataclass(frozen=True)
class Source:
    """Where a trial's settings were written.

    Attributes:
        path: the scenario file.
        places: dotted key -> its place, for what is written; the empty key is the whole file.
    """

    path: Path
    places: Mapping[str, Place]

    def place(self, key: str) -> Place:
        """The place of a key or, where it is not written, of the nearest one above it."""
        while key not in self.places:
            key = key.rpartition(".")[0]
        return self.places[key]


@dataclass(frozen=True)
class Trial:
    """One scenario with one choice from its grid and one seed. Can be pickled.

    Attributes:
        scenario: the resolved scenario; its only seed is the trial's.
        seed: the trial's seed.
        grid: grid key (or `arm`) -> the chosen value as text.
        name: the trial's folder, unique in the scenario.
        source: where the settings were written.
    """

    scenario: Scenario
    seed: int
    grid: Mapping[str, str]
    name: str
    source: Source

    def error(self, key: str, message: str) -> ScenarioError:
        """The error to raise for a setting, with its file and line."""
        return ScenarioError(self.source.place(key), key, message)


def load(path: Path, overrides: Sequence[str] = (), text: str | None = None) -> tuple[Trial, ...]:
    """All trials of a scenario, in the order of the grid and then of the seeds.

    Args:
        path: a YAML file.
        text: what is taken instead of what stands there, and then the path is what errors name.
        overrides: `key=value` texts, set before the grid is expanded; values are YAML.

    Raises:
        ScenarioError: the first problem found.
    """
    root = _override(read(path) if text is None else document(text, str(path)), overrides)
    assert isinstance(root.value, Mapping)
    grid = root.value.get("grid")
    base = Node({key: node for key, node in root.value.items() if key != "grid"}, root.place)
    chosen, pin = points(grid) if grid else [Point({}, {})], pinning()
    found = [(p, *_resolve(path, apply(base, p.settings), pin)) for p in chosen]
    _, first, source = found[0]
    _check_seeds(first, source, len(found))
    each = [(p.texts, scenario, source, seed) for p, scenario, source in found for seed in scenario.seeds]
    names = folder_names([",".join(f"{k}={v}" for k, v in {**t, "seed": seed}.items()) for t, _, _, seed in each])
    return tuple(
        Trial(scenario.model_copy(update={"seeds": (seed,)}), seed, texts, name, source)
        for (texts, scenario, source, seed), name in zip(each, names, strict=True)
    )


def dump(scenario: Scenario) -> str:
    """YAML that `load` reads back to an equal scenario."""
    return write(scenario.model_dump(mode="json"))


def folder_names(texts: Sequence[str]) -> list[str]:
    """Names that any file system keeps apart: ASCII, not too long, with a hash where that lost a difference."""
    safe = [re.sub(r"[^A-Za-z0-9._=,+-]+", "_", text) for text in texts]
    counts = Counter(name.lower() for name in safe)
    return [
        name if counts[name.lower()] == 1 and len(name) <= MAX_NAME else f"{name[: MAX_NAME - 9]}-{_digest(text)}"
        for name, text in zip(safe, texts, strict=True)
    ]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _override(root: Node, overrides: Sequence[str]) -> Node:
    keys = dict[str, Place]()
    for text in overrides:
        place = Place(one_line(f"--set {text}"))
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ScenarioError(place, "", "must be key=value, such as --set federation.rounds=3")
        # What follows `grid` is one key, dots included.
        parts = ["grid", key[5:]] if key.startswith("grid.") else split(key, place)
        root = put(root, parts, parse(value, place.path, numbered=False))
        keys[key] = place
    for varied in _varied(root):
        for key, place in keys.items():
            if f"{key}.".startswith(f"{varied}."):
                raise ScenarioError(place, key, f"the grid also sets '{varied}'; change or remove it there")
    return root


def _varied(root: Node) -> Iterator[str]:
    """The dotted keys that the grid sets, as far as it is well formed."""
    grid = root.value.get("grid") if isinstance(root.value, Mapping) else None
    if grid is None or not isinstance(grid.value, Mapping):
        return
    for key, node in grid.value.items():
        if key == "arm" and isinstance(node.value, tuple):
            yield from (k for arm in node.value if isinstance(arm.value, Mapping) for k in arm.value)
        else:
            yield key


def _resolve(path: Path, tree: Node, pin: Pin) -> tuple[Scenario, Source]:
    source, data = Source(path, dict(tree.walk())), tree.plain()
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        schema: dict[str, Any] = Scenario.model_json_schema()
        schema["properties"]["grid"] = {}  # not the model's, but a name to suggest
        key, message = explain(error, schema, data)
        raise ScenarioError(source.place(key), key, message) from error
    return pin(scenario, source.place), source


def _check_seeds(scenario: Scenario, source: Source, combinations: int) -> None:
    seeds = scenario.seeds
    for i, seed in enumerate(seeds):
        if seed in seeds[:i]:
            raise ScenarioError(source.place(f"seeds.{i}"), f"seeds.{i}", f"{seed} is there twice; keep one")
    if len(seeds) * combinations > MAX_TRIALS:
        count = len(seeds) * combinations
        raise ScenarioError(source.place("seeds"), "seeds", f"makes {count} trials, more than {MAX_TRIALS}; use fewer")
