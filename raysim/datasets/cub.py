"""CUB-200-2011: photographs of birds of 200 species, each with ten captions.

Wah et al., "The Caltech-UCSD Birds-200-2011 Dataset", 2011: 11,788 photographs. Reed et al., "Learning deep
representations of fine-grained visual descriptions", CVPR 2016: their captions. A sample is a photograph with one of
its captions. From the training part photographs are held out for validation, each with all its captions. There are no
natural clients.

The split is that of train_test_split.txt, in which each species is in both parts; or that of the species in
testclasses.txt against the others (50 and 150), which comes with the captions and which papers on multimodal generation
have (Shi et al., "Variational Mixture-of-Experts Autoencoders for Multi-Modal Deep Generative Models", 2019; MMVAE+;
MMVM). These have the words that occur more than three times in the training captions, at most 31 of them and an end:
`--features text='{name: tokens, vocabulary: published, min_count: 4, max_tokens: 32}'`.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from raysim.data.dataset import Array
from raysim.data.media import image
from raysim.data.recipe import About, Index, Medium, Recipe, numbered
from raysim.scenario.errors import shown
from raysim.seeding import stream

CAPTIONS = ("text_c10", "cvpr2016_cub/text_c10")
LOST = "\ufffd"
"""Stands in some captions where a character was lost."""


class Cub(Recipe):
    """Modalities `image` and `text`; 200 classes."""

    class Settings(Recipe.Settings):
        """What is a sample, and what is held out."""

        split: Literal["official", "classes"] = Field(
            default="official",
            description="official: train_test_split.txt; classes: all photographs of the classes in testclasses.txt "
            "are test samples.",
        )
        captions: Annotated[int, Field(ge=1, le=10, description="Captions of each photograph, the first ones.")] = 10
        validation: Annotated[float, Field(gt=0, lt=1, description="Share of the training photographs held out.")] = (
            0.15
        )
        seed: Annotated[int, Field(ge=0, description="Of the photographs held out.")] = 0

    about = About(
        home="https://www.vision.caltech.edu/datasets/cub_200_2011/ and, for the captions (cvpr2016_cub.tar.gz), "
        "https://github.com/reedscot/cvpr2016",
        terms="for non-commercial research",
        layout=(
            "CUB_200_2011/{classes,images,image_class_labels,train_test_split}.txt",
            "CUB_200_2011/images/CLASS/PHOTO.jpg",
            "text_c10/CLASS/PHOTO.txt, or cvpr2016_cub/text_c10/...: a caption a line",
            "for split: classes, beside text_c10, testclasses.txt: a class a line",
        ),
    )
    features: ClassVar = {
        "image": ({"name": "raw", "size": 64, "format": "png"}, "pixels", "mobilenet_v2", "resnet50"),
        "text": ({"name": "tokens", "max_tokens": 32}, "bert", "mobilebert"),
    }

    @classmethod
    def index(cls, root: Path, settings: Settings) -> Index:
        """The photographs in the order of images.txt, each as often as it has captions."""
        lists, count = cls.need(root, "CUB_200_2011"), settings.captions
        photos, classes = cls._table(lists / "images.txt"), cls._table(lists / "classes.txt")
        labels = cls._column(lists / "image_class_labels.txt", photos, classes)
        if settings.split == "official":
            training = np.array(cls._column(lists / "train_test_split.txt", photos, ("0", "1"))) == "1"
        else:
            training = ~np.isin(labels, cls._test_classes(root, classes))
        paths = [lists / "images" / photo for photo in photos.values()]
        return Index(
            media={
                "image": Medium("image", [path for path in paths for _ in range(count)], image),
                "text": Medium("text", cls._captions(root, photos.values(), count)),
            },
            labels=np.repeat(numbered(labels, list(classes)), count),
            classes=tuple(name.rpartition(".")[2].replace("_", " ") for name in classes.values()),
            split=np.repeat(_split(training, settings), count),
        )

    @classmethod
    def _test_classes(cls, root: Path, classes: Mapping[str, str]) -> list[str]:
        """The numbers of the classes that are named in testclasses.txt."""
        path = _captions_in(root).parent / "testclasses.txt"
        numbers = {name: number for number, name in classes.items()}
        found: list[str] = []
        for name in (line.strip() for line in cls._lines(path)):
            if name not in numbers:
                raise cls.error(f"{path} names {shown(name)}, which is not in classes.txt")
            found.append(numbers[name])
        return found

    @classmethod
    def _captions(cls, root: Path, photos: Iterable[str], count: int) -> list[str]:
        """The first captions of each photograph."""
        folder = _captions_in(root)
        found: list[str] = []
        for photo in photos:
            path = folder / f"{photo.rpartition('.')[0]}.txt"
            captions = [" ".join(line.split()) for line in cls._lines(path)]
            if len(captions) < count:
                raise cls.error(f"{path} has {len(captions)} captions, not {count}")
            found += captions[:count]
        return found

    @classmethod
    def _column(cls, path: Path, numbers: Iterable[str], known: Collection[str]) -> list[str]:
        """What a table says of some numbers."""
        table = cls._table(path)
        for number in numbers:
            if (value := table.get(number)) not in known:
                what = f"says nothing about photograph {number}" if value is None else f"says {number} {shown(value)}"
                raise cls.error(f"{path} {what}")
        return [table[number] for number in numbers]

    @classmethod
    def _table(cls, path: Path) -> dict[str, str]:
        """Number -> value, of lines such as `1 001.Black_footed_Albatross`."""
        table: dict[str, str] = {}
        for line in cls._lines(path):
            number, _, value = line.strip().partition(" ")
            if not value or number in table:
                raise cls.error(f"{path}: each line must be a new number and a value, one is {shown(line)}")
            table[number] = value
        return table

    @classmethod
    def _lines(cls, path: Path) -> list[str]:
        """All lines with something in them."""
        try:
            text = path.read_text(encoding="utf-8").replace(LOST, " ")
        except OSError as error:
            raise cls.error(f"{path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise cls.error(f"{path} is not in UTF-8") from error
        if lines := [line for line in text.split("\n") if line.strip()]:
            return lines
        raise cls.error(f"{path} is empty")


def _captions_in(root: Path) -> Path:
    return next((root / name for name in CAPTIONS if (root / name).is_dir()), root / CAPTIONS[0])


def _split(training: Array, settings: Cub.Settings) -> Array:
    """Of photographs."""
    rows = stream(settings.seed, "cub", "validation").permutation(np.flatnonzero(training))
    split = np.where(training, "train", "test").astype("U10")
    split[rows[: max(1, round(settings.validation * len(rows)))]] = "validation"
    return split
