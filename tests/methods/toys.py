"""Five toy methods, one for each hook that larger methods need. Groups are single numbers, so all can be done by hand.

They want one vector modality `x` of width 1, two classes, and any number of clients.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from raysim.method import (
    Batch,
    ClientInfo,
    Clock,
    Compute,
    Derive,
    Group,
    Method,
    Nets,
    Objective,
    Offers,
    Phase,
    State,
    Task,
    Train,
)


class Number(nn.Module):
    """One parameter, (*K, 1), which broadcasts over the batch."""

    client_axis = True

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))

    def forward(self) -> Tensor:
        return self.value


class Toy(Method):
    """Predicts class 0 where x is positive, whatever was learnt."""

    def predict(self, nets: Nets, batch: Batch) -> Tensor:
        return torch.cat([batch.x["x"], -batch.x["x"]], dim=-1)


def half_square(batch: Batch, error: Tensor) -> Tensor:
    """Half the mean squared error, (*K): its gradient is the mean error."""
    return batch.mean(0.5 * error.square().expand(batch.rows.shape))


class Gan(Toy):
    """Alternating objectives: a private critic `disc` against the federated generator `gen`, in turn on each batch."""

    def modules(self, task: Task) -> dict[str, Group]:
        return {"gen": Group(Number()), "disc": Group(Number(), shared=False)}

    def phases(self, task: Task) -> tuple[Phase, ...]:
        players = (Objective(("disc",), self.critic), Objective(("gen",), self.generator))
        return (Phase("train", (Train("gan", players),)),)

    def critic(self, nets: Nets, batch: Batch) -> Tensor:
        gap = nets["gen"]() - batch.x["x"][..., 0]
        return batch.mean(nets["disc"]() * gap) + half_square(batch, nets["disc"]())

    def generator(self, nets: Nets, batch: Batch) -> Tensor:
        return -(nets["disc"]() * nets["gen"]()).squeeze(-1)


class Diary(Toy):
    """Private client state: how often a client took part, and the mean of the numbers that it was sent."""

    def modules(self, task: Task) -> dict[str, Group]:
        return {"w": Group(Number())}

    def init_state(self, client: ClientInfo, task: Task) -> State:
        return {"count": torch.zeros(1), "mean": torch.zeros(1)}

    def phases(self, task: Task) -> tuple[Phase, ...]:
        return (Phase("train", (Compute("remember", self.remember), Train("w", (Objective(("w",), self.towards),)))),)

    def remember(self, nets: Nets, batch: Batch) -> State:
        count = batch.state["count"] + 1
        return {"count": count, "mean": batch.state["mean"] + (nets["w"]() - batch.state["mean"]) / count}

    def towards(self, nets: Nets, batch: Batch) -> Tensor:
        target = batch.state["count"] * batch.x["x"][..., 0] + batch.state["mean"]
        return half_square(batch, nets["w"]() - target)


class Shift(Toy):
    """A derived column: the target is where `w` stood when the stage began, plus x."""

    def modules(self, task: Task) -> dict[str, Group]:
        return {"w": Group(Number())}

    def phases(self, task: Task) -> tuple[Phase, ...]:
        stage = Train("w", (Objective(("w",), self.towards),), epochs=2, derive=Derive(self.targets))
        return (Phase("train", (stage,)),)

    def targets(self, nets: Nets, batch: Batch) -> Mapping[str, Tensor]:
        return {"target": nets["w"]() + batch.x["x"][..., 0]}

    def towards(self, nets: Nets, batch: Batch) -> Tensor:
        return half_square(batch, nets["w"]() - batch.columns["target"])


class Auction(Toy):
    """Two-step upload: the two clients with the largest `w` send it, the one with the smallest `v` sends that."""

    def modules(self, task: Task) -> dict[str, Group]:
        return {"w": Group(Number()), "v": Group(Number())}

    def phases(self, task: Task) -> tuple[Phase, ...]:
        return (Phase("train", (Train("both", (Objective(("w", "v"), self.towards),)),)),)

    def towards(self, nets: Nets, batch: Batch) -> Tensor:
        return sum(half_square(batch, nets[n]() - batch.x["x"][..., 0]) for n in ("w", "v"))

    def offer(self, nets: Nets, batch: Batch) -> Mapping[str, float]:
        return {n: float(nets[n]()) for n in ("w", "v")}

    def select(self, offers: Offers, clock: Clock, memory: State) -> tuple[Mapping[int, Sequence[str]], State]:
        rich = sorted(offers, key=lambda client: -offers[client]["w"])[:2]
        poor = min(offers, key=lambda client: offers[client]["v"])
        return dict.fromkeys(rich, ("w",)) | {poor: ("v",)}, memory


class Relay(Toy):
    """Two phases: two rounds train `a`; then `b` follows the `a` of the phase's start while `a` itself decays."""

    replicas = {"a": "phase"}  # noqa: RUF012

    def modules(self, task: Task) -> dict[str, Group]:
        return {"a": Group(Number()), "b": Group(Number())}

    def phases(self, task: Task) -> tuple[Phase, ...]:
        first = Train("a", (Objective(("a",), self.towards_x),))
        second = Train("b", (Objective(("a", "b"), self.follow),))
        return (Phase("first", (first,), rounds=2, evaluate=False), Phase("second", (second,)))

    def towards_x(self, nets: Nets, batch: Batch) -> Tensor:
        return half_square(batch, nets["a"]() - batch.x["x"][..., 0])

    def follow(self, nets: Nets, batch: Batch) -> Tensor:
        return half_square(batch, nets["b"]() - nets.frozen["a"]()) + half_square(batch, nets["a"]())
