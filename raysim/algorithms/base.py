"""A federated algorithm: how a client's loss, gradient and step are corrected and how the server takes a step.

    class Halved(Algorithm):  # rules.py; federation: {algorithm: "rules:Halved"}
        def server(self, received, state):
            return received.x + 0.5 * received.mean, state

It composes with every method. Shapes: P parameters of a group, *K the client axis, S clients that sent a group, C
classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from raysim.batch import Batch, Nets
from raysim.data.dataset import Outcome
from raysim.method import Optimizer

ServerState = Mapping[str, Tensor]
Control = Literal["gradient", "steps"]


@dataclass(frozen=True)
class Received:
    """What reached the server for one group.

    Attributes:
        x: (P,) float64, the global parameters at the start of the round.
        mean: (P,) float64, the weighted mean of the clients' changes y_k - x, each times its `scale`, over those that
            were not skipped.
        control: (P,) float64, the changes of the clients' controls, summed and divided by the number of all clients
            that own the group; None unless `Algorithm.control`.
        lr: the clients' learning rate in this round.
        shares: (S,) float64, the weights of that mean, which add up to 1; the clients stand in the order of their
            numbers.
        steps: (S,) int64, how many steps each took on the group; None unless `Algorithm.steps`.
        scales: (S,) float64, what `Algorithm.scale` said of each; likewise.
        updates: (S, P) float32, each client's change, not scaled; None unless `Algorithm.updates`.
    """

    x: Tensor
    mean: Tensor
    control: Tensor | None
    lr: float
    shares: Tensor
    steps: Tensor | None = None
    scales: Tensor | None = None
    updates: Tensor | None = None


@dataclass(frozen=True)
class Correction:
    """What a local step may lean on, for the parameters of one objective, tensor by tensor.

    Attributes:
        weights: the current local parameters, (*K, ...) each.
        start: the global parameters of this round, without the client axis.
        control: the server's control, without the client axis; empty unless `Algorithm.control`.
        client_control: the clients' controls, (*K, ...) each; empty unless `Algorithm.control`.
    """

    weights: Sequence[Tensor]
    start: Sequence[Tensor]
    control: Sequence[Tensor] = ()
    client_control: Sequence[Tensor] = ()


class Algorithm:
    """FedAvg, unless a subclass says otherwise. Keeps nothing on `self` but what follows from its options.

    Args:
        options: an `Options`.
        compat: whether what the options leave open is as in the FedMultimodal benchmark (`compat: fedmultimodal`).
    """

    class Options(BaseModel):
        """What a scenario may say besides the algorithm's name."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    options: Any
    weights: Literal["samples", "uniform"] = "samples"
    """How clients count in a mean."""
    control = False
    """Whether each client keeps a control for each group."""
    control_mean: Control = "gradient"
    """What a control is the mean of, over the local steps: raw gradients, or the optimiser's steps without `pull`,
    divided by minus its learning rate (its mean over the client's steps, where these have a schedule)."""
    steps = False
    """Whether the server is told how many steps each client took, and the clients' changes are scaled by it."""
    outcomes: ClassVar[frozenset[Outcome]] = frozenset(get_args(Outcome))
    """What may be predicted: `single_label`, `multi_label`, `regression`."""
    updates = False
    """Whether the server sees every client's change by itself. It then holds, for as long as it takes the step of a
    round, 4 bytes for each client of the cohort and parameter, and those of one group twice."""

    def __init__(self, options: Any, *, compat: bool = False) -> None:
        self.options, self.compat = options, compat

    def nets(self, nets: Nets) -> Nets:
        """The networks that a training loss is computed with; an evaluation takes them as they are."""
        return nets

    def logits(self, logits: Tensor, batch: Batch) -> Tensor:
        """Changes the logits (*K, B, C) that enter the task's loss."""
        return logits

    def correct(self, grads: Sequence[Tensor], local: Correction) -> Sequence[Tensor]:
        """The gradients that the client's optimiser sees, (*K, ...) each."""
        return grads

    def pull(self, local: Correction) -> Sequence[Tensor]:
        """What is added to the optimiser's direction v, beside its momentum, (*K, ...) each; empty: nothing.

        The step is w <- w - lr (v + pull), with the pull at the weights before the step.
        """
        return ()

    def scale(self, steps: int, optimizer: Optimizer) -> float:
        """What a client's change of a group is multiplied by before it is summed; asked only where `steps` is set.

        Args:
            steps: how many the client took on the group, in all stages of the round; at least 1.
            optimizer: the scenario's; a method may have others for its own objectives.

        Returns:
            A number from 0 to 1.
        """
        return 1.0

    def server(self, received: Received, state: ServerState) -> tuple[Tensor, ServerState]:
        """The server's step for one group.

        Args:
            received: this round's sums.
            state: what the last call returned for this group; empty at first.

        Returns:
            The new global parameters, (P,) float64 and finite, and the new state.
        """
        return received.x + received.mean, state
