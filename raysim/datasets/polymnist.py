"""PolyMNIST: five pictures of the same digit, each in another handwriting on another photograph.

Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", ICLR 2021, section 4.2: 60,000 and 10,000 five-tuples of
(3, 28, 28). Read from the official folders of PNG files, or made from MNIST and photographs by the same recipe: for
each digit and modality an independent permutation of its MNIST images; a random crop of the modality's photograph,
whose colours are inverted where the digit's pixels are above 128. The original was made without a fixed seed and cannot
be made again bit for bit; this one can.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from raysim.data.dataset import Array
from raysim.data.idx import mnist
from raysim.data.media import Unreadable, image
from raysim.data.recipe import About, Index, Medium, Recipe
from raysim.seeding import stream

SIDE, INK = 28, 128
PARTS = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class Composer:
    """Makes a picture of a digit (N, 28, 28) on a photograph (H, W, 3)."""

    digits: Array
    photo: Array

    def __call__(self, item: tuple[int, int, int]) -> Any:
        """The picture of (digit's row, left, top)."""
        from PIL import Image

        row, left, top = item
        crop = self.photo[top : top + SIDE, left : left + SIDE]
        return Image.fromarray(np.where(self.digits[row][..., None] > INK, 255 - crop, crop))


class Polymnist(Recipe):
    """Images m0 to m4, ten classes, no natural clients."""

    class Settings(Recipe.Settings):
        """How it is made, where it is made from MNIST."""

        modalities: Annotated[int, Field(ge=2, le=5, description="How many pictures a tuple has.")] = 5
        seed: Annotated[int, Field(ge=0, description="Of the permutations and the crops.")] = 0

    about = About(
        home="https://zenodo.org/records/4899160 (PolyMNIST.zip)",
        terms="CC BY 4.0",
        layout=(
            "MMNIST/{train,test}/m{0..4}/NUMBER.DIGIT.png, or to make it:",
            "mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz",
            "polymnist_backgrounds/*.jpg: the first five, by name, are m0 to m4",
        ),
    )
    features = dict.fromkeys((f"m{i}" for i in range(5)), ("pixels",))

    @classmethod
    def index(cls, root: Path, settings: Settings) -> Index:
        """The official folders if they are there; otherwise tuples made from MNIST."""
        for folder in (root / "MMNIST", root / "PolyMNIST" / "MMNIST", root):
            if (folder / "train" / "m0").is_dir():
                return cls._official(folder, settings.modalities)
        if not (root / "mnist").is_dir():
            raise cls.error(f"{root} has neither MMNIST/train/m0 nor mnist")
        return cls._made(root, settings)

    @classmethod
    def _official(cls, folder: Path, modalities: int) -> Index:
        every: list[tuple[str, str]] = []
        for split in PARTS:
            first = cls.need(folder, f"{split}/m0")
            names = [path.name for path in first.glob("*.png")]
            for name in names:
                if not re.fullmatch(r"\d+\.\d\.png", name):
                    raise cls.error(f"{first / name} is not named NUMBER.DIGIT.png")
            if not names:
                raise cls.error(f"{first} has no NUMBER.DIGIT.png")
            every += [(split, name) for name in sorted(names, key=lambda n: int(n.partition(".")[0]))]
        paths = {f"m{m}": [folder / s / f"m{m}" / name for s, name in every] for m in range(modalities)}
        return Index(
            media={m: Medium("image", files, image) for m, files in paths.items()},
            labels=np.array([int(name.split(".")[1]) for _, name in every], dtype=np.int64),
            classes=tuple("0123456789"),
            split=np.array([s for s, _ in every]),
        )

    @classmethod
    def _photo(cls, path: Path) -> Array:
        try:
            photo = np.asarray(image(path))
        except Unreadable as error:
            raise cls.error(f"{path}: {error}") from error
        if min(photo.shape[:2]) <= SIDE:
            raise cls.error(
                f"{path} has {photo.shape[1]} x {photo.shape[0]} pixels, more than {SIDE} x {SIDE} are needed"
            )
        return photo

    @classmethod
    def _made(cls, root: Path, settings: Settings) -> Index:
        photos = sorted(cls.need(root, "polymnist_backgrounds").glob("*.jpg"))[: settings.modalities]
        if len(photos) < settings.modalities:
            raise cls.error(
                f"{root}/polymnist_backgrounds has {len(photos)} .jpg files, {settings.modalities} are needed"
            )
        parts = {split: mnist(root / "mnist", part) for split, part in PARTS.items()}
        digits = np.concatenate([images for images, _ in parts.values()])
        first = {"train": 0, "test": len(parts["train"][0])}
        wanted = {
            split: stream(settings.seed, "polymnist", split).permutation(labels) for split, (_, labels) in parts.items()
        }
        media: dict[str, Medium] = {}
        for m, path in enumerate(photos):
            photo = cls._photo(path)
            items: list[tuple[int, ...]] = []
            for split, (_, labels) in parts.items():
                rng = stream(settings.seed, "polymnist", split, m)
                rows = np.empty(len(labels), dtype=np.int64)
                for digit in range(10):
                    rows[wanted[split] == digit] = rng.permutation(np.flatnonzero(labels == digit))
                left = rng.integers(0, photo.shape[1] - SIDE, len(rows))
                top = rng.integers(0, photo.shape[0] - SIDE, len(rows))
                items += [tuple(i) for i in np.stack([rows + first[split], left, top], axis=1).tolist()]
            media[f"m{m}"] = Medium("image", items, Composer(digits, photo))
        return Index(
            media=media,
            labels=np.concatenate(list(wanted.values())),
            classes=tuple("0123456789"),
            split=np.repeat(list(wanted), [len(w) for w in wanted.values()]),
        )
