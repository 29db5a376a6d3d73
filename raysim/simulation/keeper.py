"""Between the slots and the disk: a study's checkpoints."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError

from raysim.report.events import CheckpointWritten, Event, TrialInfo, Warned
from raysim.scenario.identity import digest
from raysim.scenario.schema import Scenario
from raysim.scenario.trial import Trial
from raysim.simulation.checkpoint import Checkpoints, Found
from raysim.simulation.snapshot import Snapshot
from raysim.training.keeping import VERSIONS
from raysim.training.results import ClientState

Key = tuple[str, str]


class Keeper:
    """The checkpoints of all trials of a study.

    Args:
        out: the study's folder.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._checkpoints: dict[Key, Checkpoints] = {}
        self._unwritten: dict[Key, Mapping[int, ClientState]] = {}
        self._seconds: dict[Key, float] = {}

    def newest(self, trial: Trial, info: TrialInfo) -> Found | None:
        """A trial's newest checkpoint, with its clients' states themselves; None where there is none.

        Raises:
            NoCheckpoint: there are some and none is intact.
        """
        self._unwritten.pop(_key(info), None)
        return self._of(trial, info).read()

    def remarks(self, found: Found, info: TrialInfo) -> Iterator[Event]:
        """What there is to tell about a checkpoint that was read."""
        for text in found.damaged:
            yield Warned(f"{text}; goes back to round {found.snapshot.round}", info)
        odd = [f"{n} {v}" for n, v in found.versions.items() if VERSIONS.get(n) != v]
        if odd:
            yield Warned(f"begun with {', '.join(odd)}; the last digits may differ from there on", info)

    def save(self, trial: Trial, info: TrialInfo, snapshot: Snapshot) -> Event | None:
        """Writes a checkpoint and says so; where that fails the one before stays, and the next one has all.

        Args:
            trial: with its settings as they are used.
            info: the trial as events name it.
            snapshot: with its clients' states themselves.
        """
        key, began = _key(info), time.monotonic()
        failed_before = key in self._unwritten
        states = {**self._unwritten.get(key, {}), **snapshot.clients}
        scenario = trial.scenario.model_dump(mode="json")
        try:
            size = self._of(trial, info).write(replace(snapshot, clients=states), scenario, VERSIONS)
        except (OSError, SafetensorError) as error:
            self._unwritten[key] = states
            reason = error.strerror if isinstance(error, OSError) else error
            text = f"round {snapshot.round}: no checkpoint was written: {reason}; the one before stays"
            return None if failed_before else Warned(text, info)
        self._unwritten.pop(key, None)
        seconds = time.monotonic() - began
        self._seconds[key] = self._seconds.get(key, 0.0) + seconds
        return CheckpointWritten(info, snapshot.round, size, seconds)

    def end(self, info: TrialInfo) -> None:
        """The trial is finished, or begins anew, and needs none any more."""
        self._unwritten.pop(_key(info), None)
        self._checkpoints.pop(_key(info), None)
        self._made(info, "", 1).remove()

    def seconds(self, info: TrialInfo) -> float:
        """How long writing has taken in this run."""
        return self._seconds.get(_key(info), 0.0)

    def _of(self, trial: Trial, info: TrialInfo) -> Checkpoints:
        key = _key(info)
        if key not in self._checkpoints:
            self._checkpoints[key] = self._made(info, digest(trial), trial.scenario.federation.checkpoint.keep)
        return self._checkpoints[key]

    def _made(self, info: TrialInfo, identity: str, keep: int) -> Checkpoints:
        folder = self._out / info.scenario / info.name
        return Checkpoints(folder / "checkpoints", folder / "metrics.jsonl", identity, keep)


def _key(info: TrialInfo) -> Key:
    return info.scenario, info.name


def as_resolved(trial: Trial, found: Found) -> Trial:
    """The trial with the numerics that its first rounds were computed with."""
    numerics = Scenario.model_validate(found.scenario).numerics
    return replace(trial, scenario=trial.scenario.model_copy(update={"numerics": numerics}))
