"""What makes two trials the same: all that decides bits, and nothing else."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from raysim import disk
from raysim.scenario.clients import Stored
from raysim.scenario.errors import shown
from raysim.scenario.files import SECTIONS
from raysim.scenario.model import Transformers, Whole
from raysim.scenario.trial import Trial

Settings = Mapping[str, Any]
_CONDITIONS = ("dataset", "modalities", "partition", "feature_noise", "missing", "labels", "compat")
_EVALUATED = ("missing", "empty", "clients")


def settings(trial: Trial) -> dict[str, Any]:
    """The trial's scenario without what never changes a bit: prose, placement, trackers, what is written and how often.

    Of files it has what they hold (their digests), not where they are.
    """
    data: dict[str, Any] = trial.scenario.model_dump(mode="json")
    for key in ("description", "placement", "tracking"):
        del data[key]
    del data["federation"]["checkpoint"]
    for key in ("keep_model", "keep_private", "keep_model_mb", "predictions", "predictions_mb"):
        del data["evaluation"][key]
    for key in SECTIONS:
        if isinstance(getattr(trial.scenario, key), Stored):
            del data[key]["path"]
    if data["model"]["start"] is not None:
        del data["model"]["start"]["path"]
    for name, spec in trial.scenario.model.encoders.items():
        if isinstance(spec, Whole) and spec.digest is not None:
            del data["model"]["encoders"][name]["model" if isinstance(spec, Transformers) else "weights"]
    return data


def digest(trial: Trial) -> str:
    """A short name for what `settings` says, but for the number of rounds, which may grow."""
    data = settings(trial)
    del data["federation"]["rounds"]
    return disk.digest(json.dumps(data, sort_keys=True).encode())


def is_condition(key: str) -> bool:
    """Whether a grid's key is no choice of the arm but a condition under which it is tried: `missing.rate`."""
    section, _, rest = key.partition(".")
    return section in _CONDITIONS or (section == "evaluation" and rest.partition(".")[0] in _EVALUATED)


def conditions(said: Settings) -> str:
    """A digest of what `settings` said of the conditions; figures of trials that have them alike may be compared."""
    evaluation: Settings = said.get("evaluation", {})
    data = {key: said.get(key) for key in _CONDITIONS}, {key: evaluation.get(key) for key in _EVALUATED}
    return disk.digest(json.dumps(data, sort_keys=True).encode())


def rounds_of(said: Settings) -> Any:
    """The federation's rounds in what `settings` said; None where there are none."""
    return said.get("federation", {}).get("rounds")


def with_rounds(said: Settings, rounds: Any) -> Settings:
    """The same settings with so many rounds."""
    return {**said, "federation": {**said.get("federation", {}), "rounds": rounds}}


def differences(old: Sequence[tuple[str, Settings]], new: Sequence[tuple[str, Settings]]) -> Iterator[str]:
    """What two studies differ in, in words: trials that one of them lacks, and settings of those in both.

    Args:
        old: each trial's name, which is unique in a study, and its settings.
        new: the same of the other study.
    """
    before, after = dict(old), dict(new)
    yield from (f"{name} was there and is not" for name in before if name not in after)
    yield from (f"{name} was not there and is" for name in after if name not in before)
    for name in before:
        if name in after:
            was, now = dict(flat(before[name])), dict(flat(after[name]))
            for key in dict.fromkeys([*was, *now]):
                if was.get(key) != now.get(key):
                    yield f"{name}: {key} was {shown(was.get(key))}, is {shown(now.get(key))}"


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and what they hold."""
    if isinstance(value, dict):
        for name, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from flat(inner, f"{key}.{name}" if key else str(name))  # pyright: ignore[reportUnknownArgumentType]
    else:
        yield key, value
