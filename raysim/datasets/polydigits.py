"""Handwritten digits over photographs: two to five image modalities that share the digit, not the handwriting.

The PolyMNIST recipe (Sutter et al., "Generalized Multimodal ELBO", ICLR 2021, section 4.2) on what scikit-learn
bundles: 1,797 digits of 8x8 pixels, disturbed by noise, enlarged to 28x28 and binarised, over random crops of its two
photographs and their colour-shifted copies. The digit's pixels invert the colours of the crop. Nothing is downloaded.

Shapes: N samples, P handwritings of a split.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from pydantic import Field

from raysim.data.dataset import Array, Dataset, Kind, Modality, Source, Split
from raysim.seeding import stream

SIDE, HANDWRITINGS = 28, 1797
SHARES = {"train": 0.6, "validation": 0.15, "test": 0.25}
# One background a modality: the photograph, and the order of its colour channels.
BACKGROUNDS = (("china.jpg", (0, 1, 2)), ("flower.jpg", (0, 1, 2)), ("china.jpg", (1, 2, 0)),
               ("flower.jpg", (1, 2, 0)), ("china.jpg", (2, 0, 1)))  # fmt: skip


class Polydigits(Source):
    """Embedded default dataset: modalities m0 to m4, ten classes, uint8 images (3, 28, 28).

    The handwritings are first divided into train, validation and test (60 : 15 : 25 of every class), then paired
    inside each split, so that no handwriting is in two splits.
    """

    class Options(Source.Options):
        """What the scenario may choose."""

        modalities: Annotated[int, Field(ge=2, le=5, description="Number of image modalities.")] = 3
        copies: Annotated[int, Field(ge=1, le=20, description="Tuples drawn for each handwriting.")] = 3
        noise: Annotated[
            float, Field(ge=0.0, le=1.0, description="Deviation of the noise on the 8x8 digit, whose ink is 0 to 1.")
        ] = 0.35
        seed: Annotated[int, Field(ge=0, description="Of the split, the pairing, the crops and the noise.")] = 0

    options: Options

    def load(self) -> Dataset:
        """Makes the dataset; equal options give equal bits."""
        images, labels = _digits()
        used = BACKGROUNDS[: self.options.modalities]
        backgrounds = [_photo(photo)[..., order] for photo, order in used]
        splits = {
            name: self._pair(name, images[rows], labels[rows], backgrounds)
            for name, rows in divide(labels, self.options.seed).items()
        }
        return Dataset(
            modalities={f"m{i}": Modality("image", (3, SIDE, SIDE)) for i in range(len(used))},
            classes=tuple("0123456789"),
            multi_label=False,
            train=splits["train"],
            validation=splits["validation"],
            test=splits["test"],
        )

    def kinds(self) -> dict[str, Kind]:
        """All images."""
        return {f"m{i}": "image" for i in range(self.options.modalities)}

    def reads(self) -> int:
        """All images."""
        return HANDWRITINGS * self.options.copies * self.options.modalities * 3 * SIDE * SIDE

    def _pair(self, split: str, images: Array, labels: Array, backgrounds: list[Array]) -> Split:
        """Tuples of one split: `copies` times P, in random order."""
        seed, copies = self.options.seed, self.options.copies
        wanted = stream(seed, "polydigits", split, "order").permutation(np.tile(labels, copies))
        inputs: dict[str, Array] = {}
        for index, background in enumerate(backgrounds):
            rng = stream(seed, "polydigits", split, index)
            source = np.empty(len(wanted), dtype=np.int64)
            for digit in range(10):
                # Every handwriting is used `copies` times, whatever it is paired with.
                source[wanted == digit] = rng.permutation(np.tile(np.flatnonzero(labels == digit), copies))
            inputs[f"m{index}"] = self._draw(images[source], background, rng)
        return Split(inputs, wanted)

    def _draw(self, images: Array, background: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Digits (N, 8, 8) over random crops of a photograph (H, W, 3): (N, 3, 28, 28)."""
        height, width, _ = background.shape
        top = rng.integers(0, height - SIDE + 1, len(images))
        left = rng.integers(0, width - SIDE + 1, len(images))
        photo = np.ascontiguousarray(background)  # the crops are laid out like it, channels last
        crops = sliding_window_view(photo, (SIDE, SIDE), axis=(0, 1))[top, left]
        ink = enlarge(images + self.options.noise * rng.standard_normal(images.shape)) > 0.5
        return crops ^ (ink[:, None] * np.uint8(255))


def enlarge(images: Array) -> NDArray[np.float64]:
    """Bilinear interpolation of (N, 8, 8) to (N, 28, 28), corners on corners."""
    grid = np.linspace(0, 7, SIDE)
    weights = np.stack([np.interp(grid, np.arange(8), row) for row in np.eye(8)], axis=1)
    return weights @ images @ weights.T


def divide(labels: Array, seed: int) -> dict[str, NDArray[np.int64]]:
    """Rows of each split, sorted: disjoint, complete and stratified by `SHARES`."""
    rng = stream(seed, "polydigits", "divide")
    cuts = np.cumsum(list(SHARES.values()))[:-1]
    pieces: dict[str, list[Array]] = {name: [] for name in SHARES}
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        for name, piece in zip(SHARES, np.split(rows, np.rint(cuts * len(rows)).astype(int)), strict=True):
            pieces[name].append(piece)
    return {name: np.sort(np.concatenate(rows)) for name, rows in pieces.items()}


def _bundled(name: str) -> Path:
    """A file that scikit-learn brings, without importing it: that takes a second and 60 MB."""
    found = find_spec("sklearn")
    assert found is not None, "raysim needs it"
    return Path((found.submodule_search_locations or [""])[0], "datasets", name)


def _digits() -> tuple[Array, Array]:
    """(P, 8, 8) in [0, 1], and the digits (P,)."""
    table = np.loadtxt(_bundled("data/digits.csv.gz"), delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8) / 16.0, table[:, -1].astype(np.int64)


def _photo(name: str) -> Array:
    """(H, W, 3) uint8."""
    from PIL import Image

    with Image.open(_bundled(f"images/{name}")) as photo:
        return np.asarray(photo)
