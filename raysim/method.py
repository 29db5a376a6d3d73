"""All that a method author needs: groups, stages and a few hooks.

A method declares which networks are federated (`modules`) and how a client trains them, in order (`phases`). It owns no
loop, no optimiser step and no Ray call. Most methods only say what stands in for an absent modality:

    class ZeroFill(Method):
        def fill(self, batch, nets, features):
            return {m: f.where(batch.present[m]) for m, f in features.items()}
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from raysim.batch import Batch, ClientInfo, Clock, Nets, Public, State
from raysim.data.dataset import Kind, Outcome
from raysim.models.feature import Feature, Streams, checked
from raysim.models.filling import fill_inputs, mean_over_sources, usable
from raysim.models.task import Task, classify, encode, task_modules
from raysim.scenario.optimizer import Adam, AdamW, Optimizer, Sgd

__all__ = [
    "Adam", "AdamW", "Batch", "ClientInfo", "Clock", "Compute", "Derive", "Feature", "Group", "Judge", "Method", "Nets",
    "Objective", "Offers", "Optimizer", "Phase", "Public", "Sgd", "Shares", "State", "Streams", "Task", "Train",
    "all_present", "any_present", "everyone", "fill_inputs", "mean_over_sources", "paired", "usable",
]  # fmt: skip

Presence = Mapping[str, NDArray[np.bool_]]
"""Modality -> (n,) bool: which of a client's n samples have it."""
Refresh = Literal["round", "phase", "start"]
Level = Literal["input", "pooled", "embedding"]
"""What stands in for an absent modality: an `input` for its encoder, one `pooled` vector in place of the encoder's
output, or its whole `embedding`, the tokens that the fusion sees."""
Offers = Mapping[int, Mapping[str, float]]
"""Client id -> name -> a number that the client says, before anything is uploaded."""
Shares = Mapping[int, float]
"""Client id -> its share in a group's mean; they add up to one."""


def everyone(client: ClientInfo) -> bool:  # noqa: ARG001 - a predicate like any other
    """All clients."""
    return True


def any_present(present: Presence) -> NDArray[np.bool_]:
    """Samples with at least one modality: (n,) bool."""
    return np.logical_or.reduce(list(present.values()))


def all_present(present: Presence) -> NDArray[np.bool_]:
    """Samples with every modality: (n,) bool."""
    return np.logical_and.reduce(list(present.values()))


def paired(present: Presence) -> NDArray[np.bool_]:
    """Samples with at least two modalities: (n,) bool."""
    return np.sum(list(present.values()), axis=0) >= 2


@dataclass(frozen=True)
class Group:
    """A network that is federated as one.

    Attributes:
        net: the module; a prototype whose weights start the trial.
        needs: a client owns the group iff it has a sample with all these modalities. An unowned group is used, never
            changed.
        shared: False keeps it private: it stays in the client's state and never travels. Where predictions ask for it,
            only clients can be judged (`evaluation.clients`), each by its own.
        algorithm: False gives it a plain mean, with no local correction and no server optimiser.
        weights: how clients count in the mean: the algorithm's rule, by `samples`, or `uniform`.
        reaches: who of the cohort downloads it. The others cannot use it: their `nets` do not have it.
        pretrained: whether the prototype has learnt something already, so that it may fill before anybody trains it.
    """

    net: nn.Module
    needs: frozenset[str] = frozenset()
    shared: bool = True
    algorithm: bool = True
    weights: Literal["algorithm", "samples", "uniform"] = "algorithm"
    reaches: Callable[[ClientInfo], bool] = everyone
    pretrained: bool = False


@dataclass(frozen=True)
class Objective:
    """A loss and the groups that descend it.

    Attributes:
        trains: names of groups or globs (`task.*`).
        loss: (nets, batch) -> (*K). It may yield parts of it, one by one, so that what one part's gradient needs is
            freed before the next one is computed.
        optimizer: the federation's where None.
    """

    trains: tuple[str, ...]
    loss: Callable[[Nets, Batch], Tensor | Iterator[Tensor]]
    optimizer: Optimizer | None = None


@dataclass(frozen=True)
class Derive:
    """Columns computed once at the start of a stage, without gradients, by networks in evaluation mode.

    `columns` is called on batches of the stage's samples and returns name -> (*K, B, ...); the stage reads
    `batch.columns[name]`. With `every="phase"` a client computes them in its first round of the phase and keeps them;
    then all but the first two dimensions must be the same for all clients.
    """

    columns: Callable[[Nets, Batch], Mapping[str, Tensor]]
    every: Literal["round", "phase"] = "round"


@dataclass(frozen=True)
class Judge:
    """Early stopping by samples that a client holds back from a stage's training, the same in all rounds.

    Its hooks are called without gradients, client by client, on one batch of what is held back and of other samples of
    the stage, with `batch.columns["held"]` (*K, B) bool, and may write buffers of the groups that the stage trains.

    Attributes:
        share: of the samples, held back, drawn by seed and client; rounded to whole samples.
        notes: after training.
        stops: before training; group -> (*K) bool: the client leaves that group as it came. None: it trains them all.
        most: that many samples are held back at most, and as many others are in the batch, which is all in memory.
    """

    share: float
    notes: Callable[[Nets, Batch], None]
    stops: Callable[[Nets, Batch], Mapping[str, Tensor]] | None = None
    most: int = 2048


@dataclass(frozen=True)
class Train:
    """A stage: some epochs of gradient descent. With several objectives each batch steps them in turn (GAN).

    Networks of groups that no objective trains are in evaluation mode and get no gradient.

    Attributes:
        clients: who takes part. samples: which of a client's samples are used.
        epochs, batch_size: the federation's where None.
        stack: False trains one client after another.
        judge: says by what is held back of the samples whether training goes on; None: it does.
    """

    name: str
    objectives: tuple[Objective, ...]
    clients: Callable[[ClientInfo], bool] = everyone
    samples: Callable[[Presence], NDArray[np.bool_]] = any_present
    epochs: int | None = None
    batch_size: int | None = None
    derive: Derive | None = None
    stack: bool = True
    judge: "Judge | None" = None

    @property
    def globs(self) -> tuple[str, ...]:
        """What its objectives train."""
        return tuple(g for objective in self.objectives for g in objective.trains)


@dataclass(frozen=True)
class Compute:
    """A stage without gradients: (nets, all of one client's samples, its state) -> changed entries of the state."""

    name: str
    run: Callable[[Nets, Batch], State]
    clients: Callable[[ClientInfo], bool] = everyone


@dataclass(frozen=True)
class Phase:
    """Rounds that run the same stages. One phase has `rounds=None`: the federation's rounds; others add theirs."""

    name: str
    stages: tuple[Train | Compute, ...]
    rounds: int | None = None
    evaluate: bool = True


class Method:
    """A way to cope with missing modalities. Override what differs from training the task model with FedAvg.

    A method keeps nothing on `self` but its options and what `modules` and `phases` need: hooks are functions. Which
    layers run in a training step may depend on `batch.nowhere` and `batch.everywhere`, not on the batch's own values:
    dropout numbers its draws within a step, and a stack's batch is not a client's.
    """

    class Options(BaseModel):
        """What a scenario may say besides the method's name."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    options: Any
    fills: ClassVar[Level | None] = "embedding"
    """The level at which it fills; None where it makes nothing up."""
    kinds: ClassVar[frozenset[Kind]] = frozenset(get_args(Kind))
    """The kinds of modality that it copes with."""
    least: ClassVar[int] = 1
    """How many modalities it needs."""
    bound: ClassVar[bool] = False
    """Whether it is a bound of what others can reach and no contestant: results mark it, and never as the best."""
    outcomes: ClassVar[frozenset[Outcome]] = frozenset(get_args(Outcome))
    """What may be predicted: `single_label`, `multi_label`, `regression`."""
    replicas: Mapping[str, Refresh] = {}
    """Group glob -> when `nets.frozen[group]` is refreshed from the global state."""
    generator: Any = None
    """What `evaluation.generation` judges, a `raysim.generators.base.Generator`; None where it trains none."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @classmethod
    def suits(cls, modalities: Mapping[str, Kind]) -> None:
        """Refuses kinds of data that make no sense for this method, before any is read.

        Raises:
            ValueError: one line with the reason and the way out.
        """
        name = cls.__module__.rpartition(".")[2]
        if cls.fills not in (None, *get_args(Level)):
            raise ValueError(f"{name} says fills = {cls.fills!r}; write {', '.join(get_args(Level))} or None")
        if len(modalities) < cls.least:
            raise ValueError(f"{name} needs at least {cls.least} modalities, the data has {len(modalities)}")
        for modality, kind in modalities.items():
            if kind not in cls.kinds:
                level = f"fills at level '{cls.fills}' and " if cls.fills else ""
                raise ValueError(
                    f"{name} {level}cannot make {kind}: give '{modality}' as {' or '.join(sorted(cls.kinds))}"
                )

    def check(self, task: Task) -> None:
        """Refuses a task that makes no sense for this method; to be extended.

        Raises:
            ValueError: one line with the reason and the way out.
        """
        self.suits({name: modality.kind for name, modality in task.modalities.items()})
        if task.outcome not in self.outcomes:
            name, kinds = type(self).__module__.rpartition(".")[2], " and ".join(sorted(self.outcomes))
            raise ValueError(f"{name} is for {kinds} data, and this is {task.outcome}; use another method")

    def modules(self, task: Task) -> dict[str, Group]:
        """The groups. By default the task model: `task.<modality>`, `task.fusion`, `task.head`."""
        return task_groups(task)

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """What a client trains, in order. By default the task model on all its samples."""
        return (Phase("train", (self.task_stage(),)),)

    def task_stage(self, name: str = "task", **settings: Any) -> Train:
        """The stage that trains `task.*` on the task's loss."""
        return Train(name, (Objective(("task.*",), self.loss),), **settings)

    def loss(self, nets: Nets, batch: Batch) -> Tensor:
        """The task model's loss, (*K)."""
        return batch.task_loss(self.predict(nets, batch))

    def predict(self, nets: Nets, batch: Batch) -> Tensor:
        """Logits (*K, B, C), with any modality missing."""
        features = encode(nets, batch)
        return classify(nets, checked(self.fill(batch, nets, features), features))

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """What the fusion sees, given each modality's embedding; rows of absent modalities come as absent.

        Networks that learn from samples with several modalities may have had nobody to learn from: what is made by one
        is used where `nets.learnt(group)` alone (`usable`).

        Returns:
            modality -> one stream or several weighted ones.
        """
        return features

    def losses(self, nets: Nets, batch: Batch) -> Tensor:
        """What is evaluated instead of predictions, where it is overridden: the loss of each row, (*K, B).

        The method then predicts no classes. The best round is that of the least validation loss.
        """
        raise NotImplementedError

    def examine(self, nets: Nets, batch: Batch) -> Mapping[tuple[str, ...], Tensor]:
        """Sums over validation samples that lack only what the data lacks, by the global networks.

        It is called on slices of them; what it returns, of any shape, is added up in float64 and given to `examined`.
        """
        return {}

    def examined(self, sums: Mapping[tuple[str, ...], NDArray[np.float64]]) -> Mapping[str, Mapping[str, float]]:
        """Subject -> figure -> value of what `examine` returned, for metrics.jsonl and the report."""
        return {}

    def remarks(self, examined: Mapping[str, Mapping[str, float]]) -> Sequence[str]:
        """What a user has to know of the figures of the reported round: a warning each, at the trial's end."""
        return ()

    def personalise(self) -> tuple[Train | Compute, ...]:
        """What a client fine-tunes before it is judged (`evaluation.clients.personalise`), and nobody ever gets.

        By default the task model. A stage has the scenario's epochs, and an objective its optimiser, unless it says.
        """
        return (self.task_stage("personalise"),)

    def observe(self, mask: NDArray[np.bool_], present: NDArray[np.bool_], task: Task) -> NDArray[np.bool_]:
        """Changes what is missing, in training and at test time: only the bounds do.

        Args:
            mask: (N, M) bool, True where a modality is there, columns in the order of `task.modalities`.
            present: the same for the data itself, before the scenario hid anything.
            task: names the modalities.
        """
        return mask

    def init_state(self, client: ClientInfo, task: Task) -> State:
        """A client's private tensors before its first round."""
        return {}

    def offer(self, nets: Nets, batch: Batch) -> Mapping[str, float]:
        """After training, before uploading: what one client says, from all of its samples."""
        return {}

    def select(self, offers: Offers, clock: Clock, memory: State) -> tuple[Mapping[int, Sequence[str]], State]:
        """Two-step upload, where it is overridden; otherwise a client uploads all that it trained.

        Args:
            offers: of this round's clients.
            clock: the round.
            memory: what the last call returned; empty at first.

        Returns:
            Which groups each client uploads, and what the server remembers for the next call.
        """
        raise NotImplementedError

    server_trains: ClassVar[bool] = False
    """Whether the server trains on its public samples, as one more client that takes part in every round."""

    def share(self, nets: Nets, batch: Batch) -> Mapping[str, Tensor]:
        """What the server computes once a round from its public samples (`public` in the scenario) and sends.

        It is called on batches of them, with the global networks, and returns name -> (B, ...). Clients find
        `batch.shared[name]` (N, ...), and the samples themselves as `batch.public`.
        """
        return {}

    def hears(self, client: ClientInfo) -> bool:
        """Whether a client gets what the server shares."""
        return True

    def reweight(self, group: str, shares: Shares, clients: Mapping[int, ClientInfo]) -> Shares:
        """Other shares of a group's mean for the same clients, which must add up to one."""
        return shares

    @classmethod
    def has(cls, hook: str) -> bool:
        """Whether an optional hook is its own."""
        return getattr(cls, hook) is not getattr(Method, hook)


def task_groups(task: Task) -> dict[str, Group]:
    """The task model's networks; an encoder is owned by the clients that have its modality."""
    return {
        name: Group(net, needs=frozenset({name.removeprefix("task.")} & set(task.modalities)))
        for name, net in task_modules(task).items()
    }
