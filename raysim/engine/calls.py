"""The calls of a round: training, sums of a node, and predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raysim.engine.client import Trained
from raysim.engine.crew import Call
from raysim.engine.messages import When, packed
from raysim.simulation.executor import Evaluation, Handle
from raysim.training.results import Broadcast
from raysim.training.units import Unit, singles

Message = tuple[Any, When]
"""A broadcast's arrays as bytes or as a reference, and when it is said."""


@dataclass(eq=False)
class Training(Call):
    """Units that an actor trains in one round."""

    message: Message = (None, (0, 0))
    units: Sequence[Unit] = ()
    states: Mapping[int, Handle] | None = None  # None in a stateless trial
    apart: bool = False
    stays: bool = False  # the sums, on the actor's node

    @property
    def clients(self) -> list[int]:
        """Their ids."""
        return [c for unit in self.units for c in unit.clients]

    @property
    def what(self) -> str:
        """Its clients in words."""
        return f"client{'s' if len(self.clients) > 1 else ''} {', '.join(map(str, self.clients))}"

    def send(self, actor: Any) -> Sequence[Any]:
        """Calls the actor; in a stateful trial the last reference is the clients' new states."""
        if self.states is None and not self.stays:
            return [actor.train_stateless.remote(*self.message, packed(self.units))]
        known = {c: self.states[c] for c in self.clients if c in self.states} if self.states else {}
        if self.stays:
            return actor.train_apart.options(num_returns=3).remote(*self.message, packed(self.units), known)
        return actor.train.options(num_returns=2).remote(*self.message, packed(self.units), known)

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

    message: Message = (None, (0, 0))
    evaluation: Evaluation = field(default_factory=lambda: Evaluation(Broadcast(0, 0, {}), ()))
    numbers: Sequence[int] = ()
    what = "an evaluation"

    def send(self, actor: Any) -> Sequence[Any]:
        """Calls the actor."""
        parts = {i: self.evaluation.slices[i] for i in self.numbers}
        return [actor.predict.remote(*self.message, parts, self.evaluation.states(self.numbers))]
