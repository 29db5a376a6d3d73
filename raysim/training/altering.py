"""What samples' inputs have instead of the data's own: noise of clients, hidden parts. Made when a batch takes them.

Noise is not kept: a sample's numbers are a function of the seed, the modality and the row, so they are the same in
every round, on every actor and with every method.

Shapes: *K the client axis (absent for one client), N samples of the largest client, A axes along which a part is
hidden.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from raysim.data.dataset import Array, Modality
from raysim.data.holes import axes
from raysim.seeding import stream


class Change(Protocol):
    """Changes inputs of one modality."""

    def narrow(self, where: Any) -> "Change":
        """The same for some of the samples."""
        ...

    def made(self, x: Tensor, where: Any, lengths: Tensor | None) -> Tensor:
        """The inputs (..., *shape) of the samples that an index names, changed; absent ones stay zeros."""
        ...


@dataclass(frozen=True)
class Noise:
    """Gaussian noise in the samples of a modality, up to their length.

    Attributes:
        seed: the trial's.
        modality: its name.
        rows: (*K, N) row numbers, -1 where there is no noise.
        deviation: (*K, N) its standard deviations.
    """

    seed: int
    modality: str
    rows: Tensor
    deviation: Tensor

    def narrow(self, where: Any) -> "Noise":
        """See `Change`."""
        return replace(self, rows=self.rows[where], deviation=self.deviation[where])

    def made(self, x: Tensor, where: Any, lengths: Tensor | None) -> Tensor:
        """See `Change`."""
        rows, deviation = self.rows[where], self.deviation[where]
        shape = x.shape[rows.dim() :]
        numbers: Array = rows.flatten().cpu().numpy()
        stops: Array = np.full(len(numbers), shape[0]) if lengths is None else lengths.flatten().cpu().numpy()
        drawn = np.zeros((len(numbers), *shape), dtype=np.float32)
        for part, row, stop in zip(drawn, numbers.tolist(), stops.tolist(), strict=True):
            if row >= 0:
                generator = stream(self.seed, "feature_noise", self.modality, row)
                generator.standard_normal(dtype=np.float32, out=part[:stop])
        noise = torch.from_numpy(drawn).view(x.shape).to(x.device)
        return x + noise * deviation.view(*rows.shape, *[1] * len(shape))


@dataclass(frozen=True)
class Hole:
    """A hidden part of each sample of a modality: zeros.

    Attributes:
        dims: the A dimensions along which it extends, counted from the last.
        spans: (*K, N, 2 A), where it begins and where it ends in each; alike where nothing is hidden.
    """

    dims: tuple[int, ...]
    spans: Tensor

    def narrow(self, where: Any) -> "Hole":
        """See `Change`."""
        return replace(self, spans=self.spans[where])

    def made(self, x: Tensor, where: Any, lengths: Tensor | None) -> Tensor:
        """See `Change`."""
        spans = self.spans[where]
        lead, inside = spans.shape[:-1], torch.ones((), dtype=torch.bool, device=x.device)
        for axis, dim in enumerate(self.dims):
            at = torch.arange(x.shape[dim], device=x.device)
            within = (at >= spans[..., 2 * axis, None]) & (at < spans[..., 2 * axis + 1, None])
            shape = [1] * (x.dim() - len(lead))
            shape[dim] = len(at)
            inside = inside & within.view(*lead, *shape)
        return torch.where(inside, torch.zeros((), dtype=x.dtype, device=x.device), x)


@dataclass(frozen=True)
class Altering:
    """What is changed of a split's inputs.

    Attributes:
        seed: the trial's.
        noise: (samples,) standard deviations; None for none.
        holes: modality -> (samples, 2 A), as `raysim.data.holes` draws them.
    """

    seed: int = 0
    noise: Array | None = None
    holes: Mapping[str, Array] = field(default_factory=dict[str, Array])

    def reaches(self, name: str, modality: Modality) -> bool:
        """Whether any sample of a modality may be changed."""
        return name in self.holes or (self.noise is not None and modality.kind != "tokens")

    def of(self, name: str, modality: Modality, numbers: Array, device: torch.device) -> tuple[Change, ...]:
        """What changes a modality of some samples, in order.

        Args:
            name: the modality's.
            modality: what it is.
            numbers: (K, N) row numbers, -1 where it is absent.
            device: where the samples are.
        """
        found: list[Change] = []
        there = numbers >= 0
        if self.noise is not None and modality.kind != "tokens":
            deviation = np.where(there, self.noise[numbers], 0).astype(np.float32)
            if deviation.any():
                rows = torch.from_numpy(np.where(deviation > 0, numbers, -1)).to(device)
                found.append(Noise(self.seed, name, rows, torch.from_numpy(deviation).to(device)))
        if name in self.holes:
            spans = np.where(there[..., None], self.holes[name][numbers], 0).astype(np.int64)
            if spans.any():
                found.append(Hole(axes(modality), torch.from_numpy(spans).to(device)))
        return tuple(found)


UNCHANGED = Altering()
