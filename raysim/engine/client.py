"""The client actor: trains the clients that it is handed, on its share of a GPU, and predicts."""

import gc
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysim.aggregation import Vector
from raysim.data.dataset import Dataset
from raysim.data.federated import Federated
from raysim.engine.heap import give_back, keep_memory
from raysim.engine.membership import own_share, this_node
from raysim.engine.messages import SMALL_BYTES, When, heard, packed, size_of, unpacked
from raysim.engine.placement import CONTEXT_BYTES
from raysim.engine.shipping import Code
from raysim.engine.states import fetched
from raysim.engine.voices import Ear
from raysim.evaluation.slices import Slice
from raysim.generation.judges import Judges
from raysim.scenario.trial import Trial
from raysim.simulation.executor import Answer, Handle, Measured, peak_bytes, predicted
from raysim.training.cost import measure
from raysim.training.job import Job
from raysim.training.results import Broadcast, ClientFailure, ClientState, UnitResult, summed
from raysim.training.trainer import Trainer
from raysim.training.units import Unit
from raysim.training.workload import Work

FORKED = gc.get_freeze_count() > 0
"""Whether this process comes from the nursery, which has frozen what there was."""
LONG_S, SLICES_S = 0.5, 0.1
"""Whoever has trained or predicted for so long hands freed memory back: 60 MB take 3 ms to go and 20 to come again."""


def forget_peak() -> None:
    """The largest resident memory counts anew from here, on Linux; elsewhere it is the process's since its start."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def limit(share: float) -> None:
    """Holds this process to its share of a GPU's memory, its context included: others are on the same one.

    What is too large for that raises torch.OutOfMemoryError and is done in parts, here, and takes nothing from others.
    """
    if share and torch.cuda.is_available():
        cuda: Any = torch.cuda  # only partly typed
        context = CONTEXT_BYTES / cuda.get_device_properties(0).total_memory if share < 1 else 0.0
        cuda.set_per_process_memory_fraction(max(share - context, share / 2))


def settle() -> None:
    """What is there by now stays: the garbage collector need not look at it again and again, milliseconds each time.

    What an earlier trial took goes back to the system. What came from the nursery is left alone, and so stays shared:
    there is little else.
    """
    if not FORKED:
        gc.unfreeze()
    gc.collect()
    give_back()
    if not FORKED:
        gc.freeze()


@dataclass(frozen=True)
class Trained:
    """What a call brings back: the results, up to the first failure, how long it took, and the process's peak.

    `said` has the lines that were printed since the last call, and how often. `apart`: whether the sums are an object
    of their own, which is still on this node.
    """

    results: list[UnitResult | ClientFailure]
    seconds: float
    peak_bytes: int = 0
    said: Mapping[str, int] = field(default_factory=dict[str, int])
    apart: bool = False


@dataclass(frozen=True)
class Predicted:
    """What a prediction brings back where something was printed besides."""

    answers: dict[int, Answer] | ClientFailure
    said: Mapping[str, int]


@dataclass(frozen=True)
class Hello:
    """A sign of life: what the process calls itself, whether torch can compute on its share of a GPU, its node's id."""

    token: str
    cuda: bool
    node: str = ""


class NotPrepared(RuntimeError):
    """This process knows no trial: Ray has started it again."""


class Client:
    """What a client actor does. It keeps the trial, never a client: private state comes in and goes out as a value."""

    def __init__(self, code: Code) -> None:
        keep_memory()
        code.arrive()
        self._trainer: Trainer | None = None
        self._token = uuid.uuid4().hex
        self._given_s = 0.0
        self._ear = Ear()
        self._share = own_share()
        limit(self._share)

    def hello(self) -> Hello:
        """A sign of life."""
        return Hello(self._token, torch.cuda.is_available(), this_node())

    def prepare(
        self, trial: Trial, dataset: Dataset, parts: Mapping[str, Any], judges: Judges | None = None
    ) -> tuple[Hello, bool]:
        """Gets ready for a trial, whose arrays lie in this node's shared memory; judges, where it measures generation.

        Returns:
            A sign of life, and whether clients keep states.
        """
        if self._trainer is not None:
            self._trainer = None
            settle()
        forget_peak()
        with self._ear.listening():
            self._trainer = Trainer(Job(trial, Federated(dataset, **parts), judges), self._relieve)
        settle()
        return self.hello(), self._trainer.job.stateful

    def train(
        self, message: Broadcast | bytes, when: When, work: Sequence[Unit] | bytes, states: Mapping[int, Handle],
        *groups: Broadcast,
    ) -> tuple[Trained | bytes, dict[int, ClientState]]:  # fmt: skip
        """Trains units one after another. What may be bytes may be packed.

        Args:
            message: the server's word, for this round or one before.
            when: this round.
            work: the units to train.
            states: client -> (reference to a dict of states, its node), for clients that have one.
            groups: what the server says of groups that not everybody needs.

        Returns:
            The results without their states, and the clients' new states: two objects, so that the second stays
            where it is until a client is trained again.

        Raises:
            StateLost: a state is not to be had any more.
        """
        trained, new = self._train(heard(message, when, groups), work, states)
        return packed(trained, size_of(trained.results)), new

    def train_stateless(
        self, message: Broadcast | bytes, when: When, work: Sequence[Unit] | bytes, *groups: Broadcast
    ) -> Trained | bytes:
        """Like `train`, where clients keep nothing: one object is faster than two."""
        return self.train(message, when, work, {}, *groups)[0]

    def train_apart(
        self, message: Broadcast | bytes, when: When, work: Sequence[Unit] | bytes, states: Mapping[int, Handle],
        *groups: Broadcast,
    ) -> tuple[Trained | bytes, UnitResult | None, dict[int, ClientState]]:  # fmt: skip
        """Like `train`, but large sums are an object of their own, the second one, for `add` on this node."""
        trained, new = self._train(heard(message, when, groups), work, states)
        first, *rest = trained.results
        whole = all(isinstance(result, UnitResult) for result in trained.results)
        if not isinstance(first, UnitResult) or not whole or size_of([first.only_sums()]) <= SMALL_BYTES:
            return packed(trained, size_of(trained.results)), None, new
        trained = replace(trained, results=[replace(first, sums={}, controls={}), *rest], apart=True)
        return packed(trained, size_of(trained.results)), first.only_sums(), new

    def add(self, *parts: UnitResult) -> UnitResult:
        """The sums that actors of this node have left here, added exactly: one copy travels."""
        return replace(parts[0], sums=summed(parts, "sums"), controls=summed(parts, "controls"))

    def measure(self, broadcast: Broadcast, unit: Unit) -> tuple[int, int]:
        """(most bytes that tensors took while a unit was trained, all bytes) of this actor's GPU."""
        limit(1.0)  # what it needs may be more than the share that it has so far
        self._ready().train(broadcast, unit, {})
        limit(self._share)
        cuda: Any = torch.cuda  # only partly typed
        return cuda.max_memory_reserved(), cuda.get_device_properties(0).total_memory

    def costs(self, works: Sequence[Work]) -> Measured:
        """The trial's multiply-adds, after its end."""
        found = measure(self._ready().job)
        return Measured(found.sample, found.total(works), found.by_group)

    def predict(
        self, message: Broadcast | bytes, when: When, parts: Mapping[int, Slice], states: Mapping[int, Handle],
        *groups: Broadcast,
    ) -> dict[int, Answer] | ClientFailure | Predicted:  # fmt: skip
        """Logits of some slices, or what else they give, by their numbers.

        Args:
            message: the networks.
            when: the round after which they are judged.
            parts: the slices.
            states: as for `train`, of the clients whose own networks are asked.
            groups: as for `train`.

        Raises:
            StateLost: a state is not to be had any more.
        """
        trainer, broadcast = self._ready(), heard(message, when, groups)
        known = fetched(states)
        self._given_s = time.perf_counter()
        answers: dict[int, Answer] | ClientFailure
        try:
            with self._ear.listening():
                answers = {}
                for i, part in parts.items():
                    answers[i] = predicted(trainer, broadcast, part, known)
                    self._relieve()
            self._relieve(slices=True)
        except ClientFailure as failure:
            answers = failure
        said = self._ear.take()
        return Predicted(answers, said) if said else answers

    def _train(
        self, broadcast: Broadcast, work: Sequence[Unit] | bytes, states: Mapping[int, Handle]
    ) -> tuple[Trained, dict[int, ClientState]]:
        trainer, began = self._ready(), time.perf_counter()
        self._given_s = began
        units: Sequence[Unit] = unpacked(work)
        known = fetched(states)
        results: list[UnitResult] = []
        failures: list[ClientFailure] = []
        new: dict[int, ClientState] = {}
        for unit in units:
            try:
                with self._ear.listening():
                    result = trainer.train(broadcast, unit, {c: known[c] for c in unit.clients if c in known})
            except ClientFailure as failure:
                failures.append(failure)
                break
            new |= result.states
            results = _with(results, result.without_states())
            del result
            self._relieve()
        return Trained([*results, *failures], time.perf_counter() - began, peak_bytes(), self._ear.take()), new

    def _relieve(self, *, slices: bool = False) -> None:
        """Hands freed memory back where that has not happened for long: after a stage, a unit or slices."""
        if time.perf_counter() - self._given_s > (SLICES_S if slices else LONG_S):
            give_back()
            self._given_s = time.perf_counter()

    def _ready(self) -> Trainer:
        if self._trainer is None:
            raise NotPrepared
        return self._trainer


def _with(results: list[UnitResult], new: UnitResult) -> list[UnitResult]:
    """One result more. The first has the sums of all: less is kept and travels, and sums are exact anyhow."""
    if not results:
        return [new]
    first, *others = results
    first = replace(first, sums=_added(first.sums, new.sums), controls=_added(first.controls, new.controls))
    return [first, *others, replace(new, sums={}, controls={})]


def _added(total: Mapping[str, Vector], more: Mapping[str, Vector]) -> dict[str, Vector]:
    """Sums and more of them, in place where there are some: a copy would be as large as the networks, twice."""
    for name in total.keys() & more.keys():
        np.add(total[name], more[name], out=total[name])
    return {**more, **total}
