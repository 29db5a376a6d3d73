"""Correlated Gaussian modalities for any number of clients: to try a method or the size of a federation out.

Shapes: N samples, K clients, C classes, L latent, D features.
"""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from raysim.data.dataset import Array, Dataset, Kind, Modality, Source, Split
from raysim.seeding import stream

Count = Annotated[int, Field(ge=1)]
LATENT = 8
BLOCK = 1 << 16
"""Rows at a time: what is needed for a moment only stays small."""


class Synthetic(Source):
    """Vectors m0, m1, ... that share what a sample is: z = centre[class] + N(0, 1), x_m = z A_m + noise.

    Natural clients have unlike label mixes. Validation and test samples belong to nobody and have all classes alike.
    With `targets` a sample's first numbers of z are predicted in place of its class.
    """

    class Options(Source.Options):
        """What the scenario may choose."""

        clients: Count = Field(default=100, description="Natural clients, K.")
        samples_per_client: Count = Field(default=20, description="Training samples of each client.")
        dims: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
            default=(32, 16), description="Features of each modality."
        )
        classes: Annotated[int, Field(ge=2)] = Field(default=10, description="Number of classes.")
        targets: Annotated[int, Field(ge=0, le=LATENT)] = Field(
            default=0, description="Of a regression, how many real numbers are predicted; 0: classes are."
        )
        alpha: Annotated[float, Field(gt=0)] = Field(default=1.0, description="Label skew: small is heterogeneous.")
        distance: Annotated[float, Field(ge=0)] = Field(default=1.5, description="Deviation of the classes' centres.")
        noise: Annotated[float, Field(ge=0)] = Field(default=1.0, description="Deviation of each modality's own noise.")
        held_out: Count = Field(default=1000, description="Samples of the validation and of the test split.")
        seed: Annotated[int, Field(ge=0)] = Field(default=0, description="Of everything.")

    options: Options

    def load(self) -> Dataset:
        """Makes the dataset; equal options give equal bits."""
        o = self.options
        rng = stream(o.seed, "synthetic", "clients")
        chances = rng.dirichlet(np.full(o.classes, o.alpha), size=o.clients).cumsum(axis=1)
        clients = np.repeat(np.arange(o.clients), o.samples_per_client)
        draws = rng.random(len(clients))
        above = np.zeros((o.clients, o.samples_per_client), dtype=np.int64)
        for chance in chances.T:
            above += draws.reshape(above.shape) >= chance[:, None]
        labels = np.minimum(above.reshape(-1), o.classes - 1)
        even = np.arange(o.held_out) % o.classes
        return Dataset(
            modalities={f"m{i}": Modality("vector", (width,)) for i, width in enumerate(o.dims)},
            classes=() if o.targets else tuple(map(str, range(o.classes))),
            multi_label=False,
            train=self._split("train", labels, clients),
            validation=self._split("validation", even),
            test=self._split("test", even),
            targets=tuple(f"z{i}" for i in range(o.targets)),
        )

    def kinds(self) -> dict[str, Kind]:
        """All vectors."""
        return {f"m{i}": "vector" for i in range(len(self.options.dims))}

    def reads(self) -> int:
        """All features."""
        o = self.options
        return 4 * (o.clients * o.samples_per_client + 2 * o.held_out) * sum(o.dims)

    def _split(self, name: str, labels: Array, clients: Array | None = None) -> Split:
        o = self.options
        shape = stream(o.seed, "synthetic", "shape")
        centres = o.distance * shape.standard_normal((o.classes, LATENT), dtype=np.float32)
        rng = stream(o.seed, "synthetic", name)
        z = rng.standard_normal((len(labels), LATENT), dtype=np.float32)
        for rows in _blocks(len(labels)):
            z[rows] += centres[labels[rows]]
        inputs: dict[str, Array] = {}
        for i, width in enumerate(o.dims):
            mixing = shape.standard_normal((LATENT, width), dtype=np.float32) / np.float32(np.sqrt(LATENT))
            own = rng.standard_normal((len(labels), width), dtype=np.float32)
            for rows in _blocks(len(labels)):
                own[rows] *= np.float32(o.noise)
                own[rows] += np.einsum("nl,ld->nd", z[rows], mixing)
            inputs[f"m{i}"] = own
        return Split(inputs, z[:, : o.targets] if o.targets else labels.astype(np.int64), clients=clients)


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, rows, BLOCK))
