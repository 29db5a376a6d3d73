"""What a method sees of the data while it trains or predicts.

Shapes are (*K, B, ...): K is the client axis and may be absent, B the batch. Use the last dimensions only (-1, -2),
never 0 or 1, and the same code trains one client or a stack of them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from raysim.data.federated import ClientInfo
from raysim.draws import Draws

State = Mapping[str, Tensor]
"""A client's private tensors: a value that comes in and goes out, never an attribute."""


class Nets(Mapping[str, nn.Module]):
    """The networks by group name, such as `nets["task.image"]`.

    Args:
        modules: group -> network.
        frozen: replicas; None: the networks themselves.
        learnt: (group, network) -> whether anybody has trained it, (*K, 1) bool; None: everything is trained.

    Attributes:
        frozen: the replicas taken from the global state (`Method.replicas`); at evaluation these are the networks
            themselves.
        asked: the groups that somebody has asked for so far.
    """

    def __init__(
        self, modules: Mapping[str, nn.Module], frozen: Mapping[str, nn.Module] | None = None,
        learnt: Callable[[str, nn.Module], Tensor] | None = None,
    ) -> None:  # fmt: skip
        self._modules, self._learnt = dict(modules), learnt
        self.asked = set[str]()
        if frozen is not None and not isinstance(frozen, Nets):
            frozen = Nets(frozen, None, learnt)
        self.frozen: Nets = self if frozen is None else frozen

    def at_evaluation(self) -> "Nets":
        """The same networks, with no replicas beside them."""
        return self._remembering(Nets(self._modules, None, self._learnt))

    def replacing(self, modules: Mapping[str, nn.Module]) -> "Nets":
        """These networks, some of them replaced; the replicas stay."""
        return self._remembering(Nets({**self._modules, **modules}, self.frozen, self._learnt))

    def learnt(self, name: str) -> Tensor:
        """Whether anybody has trained a network, (*K, 1) bool or one for all: what nobody has trained fills nothing.

        A client's counts as trained once the client or, in an earlier round, another one has changed its weights.
        """
        net = self[name]
        return torch.tensor(True) if self._learnt is None else self._learnt(name, net)

    def __getitem__(self, name: str) -> nn.Module:
        if name not in self._modules:
            raise KeyError(f"no network '{name}' here; there are: {', '.join(self._modules)}")
        self.asked.add(name)
        return self._modules[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    def _remembering(self, other: "Nets") -> "Nets":
        other.asked = self.asked
        return other


@dataclass(frozen=True)
class Public:
    """The server's public samples, N of them, which have every modality.

    Attributes:
        inputs: modality -> what can be indexed like a tensor (N, *shape).
        lengths: modality -> (N,) for sequences and tokens.
        y: (N,) or (N, C) labels, or (N, C) targets of a regression.
    """

    inputs: Mapping[str, Any]
    lengths: Mapping[str, Tensor]
    y: Tensor

    def take(self, modality: str, where: Tensor) -> Tensor:
        """(...) numbers of samples -> their inputs (..., *shape)."""
        return self.inputs[modality][where]


@dataclass(frozen=True)
class Clock:
    """When a step happens. `progress` is the share of all rounds that is done, 0 to 1."""

    phase: str
    round: int
    step: int
    progress: float


@dataclass(frozen=True)
class Batch:
    """A batch of samples, of one client or of a stack of clients.

    Attributes:
        x: modality -> (*K, B, *shape) float32 (tokens: int64). Rows of absent modalities are zeros.
        lengths: modality -> (*K, B) int64 for sequences and tokens, at least 1.
        present: modality -> (*K, B) bool: the missing mask.
        y: (*K, B) int64, or (*K, B, C) float32 when multi-label, and of a regression.
        rows: (*K, B) bool: valid rows; the rest is padding.
        columns: what `Derive` made, (*K, B, ...).
        clients: the K clients of the stack; one where there is no client axis; none at evaluation.
        state: the clients' private tensors, (*K, ...), read-only.
        clock: phase, round, step.
        public: the server's samples, where the scenario has some. shared: what the method's `share` made of them.
    """

    x: Mapping[str, Tensor]
    lengths: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    y: Tensor
    rows: Tensor
    clock: Clock
    draws: Draws
    loss: "Callable[[Tensor, Batch], Tensor]"
    clients: tuple[ClientInfo, ...] = ()
    columns: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    state: State = field(default_factory=dict[str, Tensor])
    public: Public | None = None
    shared: State = field(default_factory=dict[str, Tensor])

    def noise(self, name: str, shape: tuple[int, ...], kind: str = "normal") -> Tensor:
        """Random numbers of shape (*K, B, ...) from the clients' own streams (at evaluation: the samples' own).

        Args:
            name: distinguishes several draws of one step.
            shape: with the client axis where there is one.
            kind: `normal` or `uniform` in [0, 1).
        """
        return self.draws.named(name, shape, kind)

    def mean(self, values: Tensor, where: Tensor | None = None) -> Tensor:
        """The mean of (*K, B) over valid rows (and where `where` holds): (*K); 0 where there is none."""
        mask = self.rows if where is None else self.rows & where
        total = torch.where(mask, values, 0.0).sum(-1)
        return total / mask.sum(-1).clamp(min=1)

    def all_present(self, *modalities: str) -> Tensor:
        """(*K, B) bool: rows that have all these modalities (all of the data's where none is named)."""
        names = modalities or tuple(self.present)
        return torch.stack([self.present[m] for m in names]).all(0)

    def nowhere(self, modality: str) -> bool:
        """Whether no sample of these clients has the modality (at evaluation: no row): nothing need be computed.

        The same for a client alone and in a stack; whether a batch's own rows have it is not.
        """
        if self.clients:
            return all(modality not in c.modalities for c in self.clients)
        return not bool(self.present[modality].any())

    def everywhere(self, modality: str) -> bool:
        """Whether all samples of these clients have the modality (at evaluation: all rows)."""
        if self.clients:
            return all(modality in c.always for c in self.clients)
        return bool(self.present[modality].all())

    def task_loss(self, logits: Tensor) -> Tensor:
        """The task's loss, as the algorithm wants it: cross-entropy, or binary cross-entropy when multi-label.

        Args:
            logits: (*K, B, C).

        Returns:
            (*K): the mean over valid rows.
        """
        return self.loss(logits, self)
