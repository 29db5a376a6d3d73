"""AV-MNIST: pictures of digits and recordings of the same digit; six speakers are the natural clients.

After Vielzeuf et al., "CentralNet", 2018, which pairs MNIST with recordings of digits by label. Here the recordings are
the Free Spoken Digit Dataset's (3,000 at 8 kHz), as the corpus of the original is not free. FSDD's own split: takes 0
to 4 of each speaker and digit are for testing; they are paired with MNIST's test images, the others with its training
images.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from raysim.data.arrays import Standardize
from raysim.data.dataset import Array
from raysim.data.idx import mnist
from raysim.data.media import Sound, sound
from raysim.data.recipe import About, Index, Medium, Recipe
from raysim.seeding import stream

RATE, TEST_TAKES = 8000, 5
ARCHIVE = "fsdd/fsdd_8khz_int16.npz"


class Take(NamedTuple):
    """A recording: a file, or where it stands in the archive."""

    digit: int
    speaker: str
    number: int
    item: Any


@dataclass(frozen=True)
class Archive:
    """All recordings in one array of int16."""

    audio: Array

    def __call__(self, where: tuple[int, int]) -> Sound:
        """One of them."""
        return Sound((self.audio[slice(*where)] / np.float32(32768)).astype(np.float32), RATE)


class AvMnist(Recipe):
    """Modalities `image` (1, 28, 28) and `audio`; ten classes; six clients."""

    class Options(Recipe.Options):
        """Frames of audio are standardised."""

        standardize: Standardize = Field(default={"audio": "train"})

    class Settings(Recipe.Settings):
        """How pictures and recordings are paired."""

        images: Annotated[int, Field(ge=1, description="Pictures that each recording is paired with.")] = 1
        seed: Annotated[int, Field(ge=0, description="Of the pairing.")] = 0

    about = About(
        home="https://yann.lecun.com/exdb/mnist/ and https://github.com/Jakobovski/free-spoken-digit-dataset",
        terms="CC BY-SA 3.0 and 4.0",
        layout=(
            "mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz",
            "fsdd/recordings/DIGIT_SPEAKER_TAKE.wav, or fsdd/fsdd_8khz_int16.npz: all of them in one file",
        ),
    )
    features: ClassVar = {
        "image": ({"name": "pixels", "color": "grey"},),
        "audio": ({"name": "mfcc", "rate": RATE, "bands": 40}, {"name": "log_mel", "rate": RATE, "bands": 40}),
    }

    @classmethod
    def index(cls, root: Path, settings: Settings) -> Index:
        """Each recording `images` times, each time with another picture of its digit while there are enough."""
        takes, read = cls._takes(root)
        digits, test = np.array([t.digit for t in takes]), np.array([t.number < TEST_TAKES for t in takes])
        pictures: list[Array] = []
        used: list[Take] = []
        for part, chosen in (("train", ~test), ("t10k", test)):
            images, classes = mnist(cls.need(root, "mnist"), part)
            for digit in range(10):
                if digit not in classes:
                    raise cls.error(f"{root / 'mnist'}: {part} has no picture of the digit {digit}")
                mine = np.flatnonzero(chosen & (digits == digit)).repeat(settings.images).tolist()
                shuffled = stream(settings.seed, "av_mnist", part, digit).permutation(np.flatnonzero(classes == digit))
                pictures.append(images[np.resize(shuffled, len(mine))])
                used += [takes[i] for i in mine]
        return Index(
            media={
                "image": Medium("image", [p for block in pictures for p in block], picture),
                "audio": Medium("audio", [t.item for t in used], read),
            },
            labels=np.array([t.digit for t in used]),
            classes=tuple("0123456789"),
            split=np.array(["test" if t.number < TEST_TAKES else "train" for t in used]),
            clients=np.array([t.speaker for t in used]),
        )

    @classmethod
    def _takes(cls, root: Path) -> tuple[list[Take], Callable[[Any], Sound]]:
        """All recordings, by digit, speaker and number, and how to read them."""
        archive, folder = root / ARCHIVE, root / "fsdd" / "recordings"
        if archive.is_file():
            keys = ("audio", "offsets", "digit", "speaker", "index", "speaker_names")
            audio, offsets, digit, speaker, index, names = cls.arrays(root, ARCHIVE, *keys)
            for key, column in zip(keys[2:5], (digit, speaker, index), strict=True):
                if len(column) != len(offsets) - 1:
                    raise cls.error(f"{archive}: {len(offsets) - 1} recordings, but {len(column)} of '{key}'")
            if digit.max(initial=0) > 9:
                raise cls.error(f"{archive} has the digit {digit.max()}")
            if speaker.max(initial=0) >= len(names):
                raise cls.error(f"{archive} has {len(names)} of 'speaker_names', {speaker.max() + 1} are needed")
            columns = zip(digit, speaker, index, offsets[:-1], offsets[1:], strict=True)
            takes = [Take(int(d), str(names[s]), int(n), (int(a), int(b))) for d, s, n, a, b in columns]
            return takes, Archive(audio)
        if not folder.is_dir():
            raise cls.error(f"{folder} does not exist")
        found = [(re.fullmatch(r"(\d)_(\w+)_(\d+)", path.stem), path) for path in sorted(folder.glob("*.wav"))]
        takes = [Take(int(m[1]), m[2], int(m[3]), path) for m, path in found if m]
        if not takes:
            raise cls.error(f"{folder} has no DIGIT_SPEAKER_TAKE.wav")
        return sorted(takes, key=lambda t: t[:3]), sound


def picture(pixels: Array) -> Any:
    """An image (28, 28) for extractors."""
    from PIL import Image

    return Image.fromarray(pixels)
