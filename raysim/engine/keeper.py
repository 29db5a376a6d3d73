"""Between the slots and the disk: a study's checkpoints, and clients' states on their way from and to Ray's store."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray.exceptions import GetTimeoutError, RayError
from safetensors import SafetensorError

import raysim
from raysim.data.dataset import Array
from raysim.engine.checkpoint import Checkpoints, Found
from raysim.engine.executor import Handle
from raysim.engine.faults import STATE_LOST, TrialLost
from raysim.engine.snapshot import Snapshot
from raysim.report.events import CheckpointWritten, Event, TrialInfo, Warned
from raysim.scenario.identity import digest
from raysim.scenario.schema import Scenario
from raysim.scenario.trial import Trial

_ray: Any = ray  # only partly typed
BUNDLE_BYTES = 8_000_000
"""Restored states are handed out in bundles of about this size; an actor takes whole bundles."""
VERSIONS = {"raysim": raysim.__version__, "torch": str(torch.__version__), "numpy": np.__version__}

Key = tuple[str, str]


class Keeper:
    """The checkpoints of all trials of a study.

    Args:
        out: the study's folder.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._checkpoints: dict[Key, Checkpoints] = {}
        self._unwritten: dict[Key, Mapping[int, Handle]] = {}
        self._seconds: dict[Key, float] = {}

    def newest(self, trial: Trial, info: TrialInfo) -> Found | None:
        """A trial's newest checkpoint, with its clients' states in Ray's store; None where there is none.

        Raises:
            NoCheckpoint: there are some and none is intact.
        """
        self._unwritten.pop(_key(info), None)
        found = self._of(trial, info).read()
        if found is None:
            return None
        clients = dict(_handed_out(found.snapshot.clients))
        return replace(found, snapshot=replace(found.snapshot, clients=clients))

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
            snapshot: its clients are references to bundles in Ray's store.

        Raises:
            TrialLost: a client's state is lost or does not come.
        """
        key, began = _key(info), time.monotonic()
        failed_before = key in self._unwritten
        handles = {**self._unwritten.get(key, {}), **snapshot.clients}
        states = _fetched(handles, trial.scenario.placement.unit_timeout_s)
        scenario = trial.scenario.model_dump(mode="json")
        try:
            size = self._of(trial, info).write(replace(snapshot, clients=states), scenario, VERSIONS)
        except (OSError, SafetensorError) as error:
            self._unwritten[key] = handles
            reason = error.strerror if isinstance(error, OSError) else error
            text = f"round {snapshot.round}: no checkpoint was written: {reason}; the one before stays"
            return None if failed_before else Warned(text, info)
        self._unwritten.pop(key, None)
        seconds = time.monotonic() - began
        self._seconds[key] = self._seconds.get(key, 0.0) + seconds
        return CheckpointWritten(info, snapshot.round, size, seconds)

    def end(self, info: TrialInfo) -> None:
        """The trial is finished and needs none any more."""
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


def _fetched(handles: Mapping[int, Handle], timeout_s: float) -> dict[int, Mapping[str, Array]]:
    bundles = list(dict.fromkeys(ref for ref, _ in handles.values()))
    try:
        found = dict(zip(bundles, _ray.get(bundles, timeout=timeout_s), strict=True))
    except GetTimeoutError as error:
        raise TrialLost(f"the clients' private states did not arrive within {timeout_s:g} s") from error
    except RayError as error:
        raise TrialLost(STATE_LOST) from error
    return {client: found[ref][client] for client, (ref, _) in handles.items()}


def _handed_out(clients: Mapping[int, Mapping[str, Array]]) -> Iterator[tuple[int, Handle]]:
    """Each client with a reference to the bundle that has its state."""
    bundle: dict[int, Mapping[str, Array]] = {}
    size = 0
    for number, (client, state) in enumerate(clients.items(), 1):
        bundle[client] = state
        size += sum(a.nbytes for a in state.values())
        if size >= BUNDLE_BYTES or number == len(clients):
            ref = _ray.put(bundle)
            yield from ((c, (ref, c)) for c in bundle)
            bundle, size = {}, 0
