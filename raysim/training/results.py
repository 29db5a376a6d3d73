"""What goes into a unit's training and what comes out: plain values that travel between processes."""

import sys
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raysim.aggregation import Vector, add
from raysim.training.reports import Reports

_LIBRARIES = (Path(__file__).parents[1], *(Path(str(package.__file__)).parent for package in (torch, np)))

Flat = NDArray[np.float32]
ClientState = Mapping[str, NDArray[Any]]
"""A client's private state on its way: flat names to arrays."""
PRIVATE = "private/"
"""What the names of a client's own groups begin with there."""


@dataclass(frozen=True)
class Broadcast:
    """What the server tells all clients of a round.

    Attributes:
        phase: number of the phase; round: from 1, over all phases.
        x: shared group -> (P,) float32.
        frozen: group -> (P,) float32, replicas that are older than `x`.
        control: group -> (P,) float32, the algorithm's server controls.
    """

    phase: int
    round: int
    x: Mapping[str, Flat]
    frozen: Mapping[str, Flat] = field(default_factory=dict[str, Flat])
    control: Mapping[str, Flat] = field(default_factory=dict[str, Flat])


@dataclass(frozen=True)
class UnitResult:
    """What a unit returns.

    Attributes:
        index: the unit's.
        sums: group -> weighted sum of the clients' changes, on the grid.
        controls: group -> sum of the changes of the clients' controls, on the grid.
        reports: a row a client, in the unit's order, but for those that were skipped.
        states: client -> its new private state; empty for stateless trials.
        stateful: the clients that have a state, where states travel apart.
        updates: for two-step uploads and algorithms that ask: each client's changes by group.
        steps: for algorithms that ask: how many steps each client took on a group.
        deviation: why the last digits may differ from those of the unit as it was planned, in one line; empty if not.
        skipped: client -> why it is in none of the above, in one line.
        shared_bytes: what the server had to send beside the groups to each client that hears it.
    """

    index: int
    sums: Mapping[str, Vector]
    controls: Mapping[str, Vector]
    reports: Reports
    states: Mapping[int, ClientState] = field(default_factory=dict[int, ClientState])
    updates: Mapping[int, Mapping[str, Flat]] = field(default_factory=dict[int, Mapping[str, Flat]])
    steps: Mapping[int, Mapping[str, int]] = field(default_factory=dict[int, Mapping[str, int]])
    stateful: tuple[int, ...] = ()
    deviation: str = ""
    skipped: Mapping[int, str] = field(default_factory=dict[int, str])
    shared_bytes: int = 0

    def without_states(self) -> "UnitResult":
        """All but the states, which travel apart."""
        return replace(self, states={}, stateful=tuple(self.states))

    def only_sums(self) -> "UnitResult":
        """The sums alone."""
        return UnitResult(self.index, self.sums, self.controls, Reports.of(()))

    def summed_up(self) -> "UnitResult":
        """What is still needed once the server has taken its step: nothing as large as the networks."""
        return replace(self, sums={}, controls={}, updates={}, steps={})


def summed(results: Sequence[UnitResult], field: str) -> dict[str, Vector]:
    """The units' sums of each group, added exactly."""
    found: dict[str, list[Vector]] = {}
    for result in results:
        for name, vector in getattr(result, field).items():
            found.setdefault(name, []).append(vector)
    return {name: add(vectors) for name, vectors in found.items()}


def joined(parts: Sequence[UnitResult], deviation: str) -> UnitResult:
    """The result of a unit that was trained in parts, which is a deviation."""
    tables: dict[str, Any] = {
        field: {key: value for part in parts for key, value in getattr(part, field).items()}
        for field in ("states", "updates", "steps", "skipped")
    }
    reports = Reports.joined([part.reports for part in parts])
    sums, controls = summed(parts, "sums"), summed(parts, "controls")
    shared = parts[0].shared_bytes
    return UnitResult(parts[0].index, sums, controls, reports, **tables, deviation=deviation, shared_bytes=shared)


class ClientFailure(RuntimeError):
    """A client's training failed; survives pickling. `details` is the user's part of a traceback."""

    def __init__(self, clients: tuple[int, ...], round_: int, stage: str, reason: str, details: str = "") -> None:
        super().__init__(clients, round_, stage, reason, details)
        self.clients, self.round, self.stage, self.reason, self.details = clients, round_, stage, reason, details

    def __str__(self) -> str:
        clients = (
            f"client{'s' if len(self.clients) > 1 else ''} {', '.join(map(str, self.clients))}, "
            if self.clients
            else ""
        )
        return f"round {self.round}, {clients}stage '{self.stage}': {self.reason}"

    @staticmethod
    def of(
        error: Exception, clients: tuple[int, ...], round_: int, stage: str, author: type | None = None
    ) -> "ClientFailure":
        """An exception in a method, algorithm or model: where its author's own code raised it, no engine frames.

        Where the engine refused what such code returned, no line of it is to blame: the `author`, a class, is named.
        """
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if not any(Path(f.filename).is_relative_to(library) for library in _LIBRARIES)]
        place = f"{own[-1].filename}:{own[-1].lineno} in {own[-1].name}" if own else author and _home(author)
        reason = f"{type(error).__name__}: {error}{f' ({place})' if place else ''}"
        details = "".join(traceback.format_list(own or list(frames)[-1:])) + f"{type(error).__name__}: {error}"
        return ClientFailure(clients, round_, stage, " ".join(reason.split()), details)


def _home(author: type) -> str:
    return f"{getattr(sys.modules.get(author.__module__), '__file__', author.__module__)}, {author.__name__}"


@contextmanager
def blaming(clients: tuple[int, ...], round_: int, stage: str, author: type) -> Generator[None]:
    """What is raised inside, while code of the author's runs, leaves as a `ClientFailure`."""
    try:
        yield
    except (ClientFailure, torch.OutOfMemoryError):  # of the latter the trainer makes the best
        raise
    except Exception as error:
        raise ClientFailure.of(error, clients, round_, stage, author) from error
