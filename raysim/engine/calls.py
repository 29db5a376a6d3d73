"""The calls of a round: training, sums of a node, and predictions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ray

from raysim.engine.client import Trained
from raysim.engine.crew import Call
from raysim.engine.messages import When, packed
from raysim.simulation.executor import Evaluation, Handle
from raysim.training.results import Broadcast
from raysim.training.units import Unit, singles


@dataclass(frozen=True)
class Message:
    """A broadcast on its way.

    Attributes:
        body: as bytes, or a reference to it.
        when: it is said.
        groups: group that not everybody needs -> a reference to what is said of it, and of it alone.
    """

    body: Any = None
    when: When = (0, 0)
    groups: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def objects(self) -> list[Any]:
        """The references in it."""
        return [part for part in (self.body, *self.groups.values()) if isinstance(part, ray.ObjectRef)]

    def of(self, names: Iterable[str]) -> "Message":
        """The same with no more than some of these groups."""
        return replace(self, groups={name: self.groups[name] for name in names})


@dataclass(eq=False)
class Training(Call):
    """Units that an actor trains in one round."""

    message: Message = Message()
    units: Sequence[Unit] = ()
    states: Mapping[int, Handle] | None = None  # None in a stateless trial
    apart: bool = False
    stays: bool = False  # the sums, on the actor's node

    @property
    def clients(self) -> list[int]:
        """Their ids."""
        return [c for unit in self.units for c in unit.clients]

    @property
    def needs(self) -> Sequence[Any]:
        """The message and the clients' states."""
        return [*self.message.objects, *_bundles(self._known())]

    @property
    def what(self) -> str:
        """Its clients in words."""
        return f"client{'s' if len(self.clients) > 1 else ''} {', '.join(map(str, self.clients))}"

    def send(self, actor: Any) -> Sequence[Any]:
        """Calls the actor; in a stateful trial the last reference is the clients' new states."""
        said, groups = self.message, self.message.groups.values()
        if self.states is None and not self.stays:
            return [actor.train_stateless.remote(said.body, said.when, packed(self.units), *groups)]
        known = self._known()
        if self.stays:
            train = actor.train_apart.options(num_returns=3)
            return train.remote(said.body, said.when, packed(self.units), known, *groups)
        return actor.train.options(num_returns=2).remote(said.body, said.when, packed(self.units), known, *groups)

    def _known(self) -> dict[int, Handle]:
        return {c: self.states[c] for c in self.clients if c in self.states} if self.states else {}

    def one_by_one(self) -> list["Training"]:
        """A call for each unit."""
        return [replace(self, units=[unit], refs=()) for unit in self.units]

    def narrowed(self) -> list["Training"]:
        """A call for each unit or, where there is one, for each of its clients."""
        if len(self.units) > 1:
            return self.one_by_one()
        return [replace(self, units=[single], refs=(), apart=True) for single in singles(self.units[0])]


Held = tuple[int, Training, Trained]
"""An actor, its call, and the answer without the sums."""


@dataclass(eq=False)
class Sum(Call):
    """Sums that actors of a node have left there."""

    held: Sequence[Held] = ()

    def send(self, actor: Any) -> Sequence[Any]:
        """Calls one of them."""
        return [actor.add.remote(*(call.refs[1] for _, call, _ in self.held))]


@dataclass(eq=False)
class Prediction(Call):
    """Slices that an actor predicts."""

    message: Message = Message()
    evaluation: Evaluation = field(default_factory=lambda: Evaluation(Broadcast(0, 0, {}), ()))
    numbers: Sequence[int] = ()
    what = "an evaluation"

    @property
    def needs(self) -> Sequence[Any]:
        """The message and the states of clients who are asked."""
        return [*self.message.objects, *_bundles(self.evaluation.states(self.numbers))]

    def send(self, actor: Any) -> Sequence[Any]:
        """Calls the actor."""
        parts = {i: self.evaluation.slices[i] for i in self.numbers}
        said, known = self.message, self.evaluation.states(self.numbers)
        return [actor.predict.remote(said.body, said.when, parts, known, *said.groups.values())]


def _bundles(handles: Mapping[int, Handle]) -> set[Any]:
    return {reference for reference, _ in handles.values()}
