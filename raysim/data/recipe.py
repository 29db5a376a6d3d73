"""How a dataset is prepared once, from its official layout, for the scenarios that then use it.

A dataset's file says where its files stand (`Recipe.index`) and which features suit it. Extraction, caching and
checking are the same for all (`raysim/data/prepare.py`).

Shapes: N samples, C classes.
"""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictStr

from raysim.data.arrays import Reading, kinds, nbytes, read, shapes
from raysim.data.cache import cache_folder
from raysim.data.dataset import Array, DataError, Dataset, Kind, Source
from raysim.data.headers import UNREADABLE
from raysim.data.manifest import MANIFEST
from raysim.registry import name_of

MediumKind = Literal["image", "audio", "text", "array"]


def itself(item: Any) -> Any:
    """Reads what needs no reading: a text, an array."""
    return item


@dataclass(frozen=True)
class Medium:
    """One modality of all samples, before features are extracted.

    Attributes:
        kind: what `read` gives: a `PIL.Image` in RGB, a `Sound`, a text, or an array.
        items: (N,) paths, texts, arrays or whatever `read` takes; None where the data lacks it. Equal ones are
            extracted once (arrays count as different).
        read: item -> medium, in any process; raises `Unreadable` where the item is no good.
    """

    kind: MediumKind
    items: Sequence[Any]
    read: Callable[[Any], Any] = itself


@dataclass(frozen=True)
class Index:
    """All samples of a dataset, as its official layout lists them.

    Attributes:
        media: by modality, in the order that the dataset shall have.
        labels: (N,) classes from 0, or (N, C) of 0 and 1.
        classes: the C names.
        split: (N,) `train`, `validation` or `test`. Without validation samples some are held out when it is read.
        clients: (N,) names of the natural clients (speakers, patients), or None.
    """

    media: Mapping[str, Medium]
    labels: Array
    classes: tuple[str, ...]
    split: Array
    clients: Array | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def wrong(self) -> str | None:
        """What does not fit together, if anything."""
        sizes = {"split": len(self.split), **{m: len(medium.items) for m, medium in self.media.items()}}
        if self.clients is not None:
            sizes["clients"] = len(self.clients)
        for name, size in sizes.items():
            if size != len(self):
                return f"labels has {len(self)} samples, but {name} has {size}"
        labels, classes = self.labels, len(self.classes)
        if labels.ndim == 2 and labels.shape[1] != classes:
            return f"labels has shape {labels.shape}, but there are {classes} classes"
        for label in labels[(labels < 0) | (labels >= classes)][:1].tolist() if labels.ndim == 1 else ():
            return f"the label {label} is none of {classes} classes, which count from 0"
        return next((f"split has no {part}" for part in ("train", "test") if part not in self.split), None)


@dataclass(frozen=True)
class About:
    """Where a dataset comes from.

    Attributes:
        home: where to get it.
        terms: its licence or terms of use, in a few words.
        layout: the files that `--root` must hold, a line each.
    """

    home: str
    terms: str
    layout: tuple[str, ...]


class Recipe(Source):
    """A dataset that `raysim data prepare` has prepared. A subclass says what it consists of.

    Attributes:
        about: where it comes from.
        features: modality -> extractors that suit it, by name or with options, the default first.
    """

    class Options(Reading):
        """What a scenario may say besides the dataset's name."""

        cache: StrictStr | None = Field(
            default=None, description="Where it was prepared; null: the folder that `raysim data prepare` takes, too."
        )

    class Settings(BaseModel):
        """What `raysim data prepare --set KEY=VALUE` may say."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    about: ClassVar[About]
    features: ClassVar[Mapping[str, tuple[str | Mapping[str, Any], ...]]]

    options: Options

    @classmethod
    def index(cls, root: Path, settings: Any) -> Index:
        """Lists all samples.

        Args:
            root: where the official layout is.
            settings: an instance of `Settings`.

        Raises:
            DataError: a file is missing or malformed.
        """
        raise NotImplementedError

    @classmethod
    def need(cls, root: Path, name: str) -> Path:
        """A file or folder below the root that must be there.

        Raises:
            DataError: it is not.
        """
        path = root / name
        if not path.exists():
            raise cls.error(f"{path} does not exist")
        return path

    @classmethod
    def arrays(cls, root: Path, name: str, *keys: str) -> list[Array]:
        """Some arrays of an .npz below the root.

        Raises:
            DataError: the file or an array is not there, or not whole.
        """
        path = cls.need(root, name)
        try:
            with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
                found = {key: file[key] for key in keys if key in file}
        except UNREADABLE as error:
            raise cls.error(f"{path} cannot be read: {' '.join(str(error).split())}") from error
        for key in keys:
            if key not in found:
                raise cls.error(f"{path} has no '{key}'")
        return list(found.values())

    @classmethod
    def error(cls, what: str) -> DataError:
        """An error about the official files, with the way out."""
        return DataError(f"{what}; get {cls.title()} from {cls.about.home} ({cls.about.terms})")

    @classmethod
    def title(cls) -> str:
        """Its short name, which is also its folder's below the cache."""
        return cls.__module__.rpartition(".")[2]

    @property
    def folder(self) -> Path:
        """Where it was, or would be, prepared."""
        return cache_folder(self.title()) if self.options.cache is None else Path(self.options.cache)

    def load(self) -> Dataset:
        """Reads the prepared features.

        Raises:
            DataError: it is not prepared.
        """
        if not (self.folder / MANIFEST).is_file():
            name = name_of("dataset", type(self))
            raise DataError(f"{name} is not prepared in {self.folder}; run: raysim data prepare {name} --root DIR")
        return read(self.folder, self.options)

    def kinds(self) -> Mapping[str, Kind] | None:
        """Those that were prepared, if it was."""
        return kinds(self.folder) if (self.folder / MANIFEST).is_file() else None

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Likewise."""
        return shapes(self.folder) if (self.folder / MANIFEST).is_file() else {}

    def reads(self) -> int | None:
        """Likewise."""
        return nbytes(self.folder) if (self.folder / MANIFEST).is_file() else None


def numbered(names: Sequence[str], classes: Sequence[str]) -> Array:
    """The number of each name among the classes, int64."""
    table = {name: i for i, name in enumerate(classes)}
    return np.array([table[name] for name in names], dtype=np.int64)
