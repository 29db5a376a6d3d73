"""What a feature extractor is: media of one kind in, arrays out."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from raysim.data.dataset import Array
from raysim.data.recipe import MediumKind


class Extractor:
    """Turns media into features: one file in `raysim/features/` (or elsewhere, by dotted name) each.

    It is made once, learns what it needs from the training items (`fit`), and is then sent to the processes that
    extract, each of which opens it once. Equal inputs give equal bits however they are cut into calls of `chunk`.

    What comes out makes the modality's kind: floats (D,) a vector, floats (T, D) a sequence, (C, H, W) or the bytes
    of an image file (S,) uint8 an image, integers (T,) tokens.

    Attributes:
        reads: the medium that it takes.
        chunk: how many items a call gets.
        parallel: False where extraction takes next to no time, so that it needs no other process.
        gpu: it uses a GPU where there is one.
        requires: packages, as they are imported, and the extra that brings them, such as {"librosa": "audio"}.
    """

    class Options(BaseModel):
        """What `--features KEY={name: NAME, ...}` may say besides the name."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    reads: ClassVar[MediumKind]
    chunk: ClassVar[int] = 64
    parallel: ClassVar[bool] = True
    gpu: ClassVar[bool] = False
    requires: ClassVar[dict[str, str]] = {}

    options: Any

    def __init__(self, options: Any) -> None:
        self.options = options

    def fit(self, items: Iterable[Any]) -> None:
        """Learns from the media of the training samples, such as a vocabulary; by default nothing."""

    def open(self) -> None:
        """Loads what is too large to send, such as weights; called once in each process.

        Raises:
            DataError: weights are not there; names the file that is wanted.
        """

    def extract(self, media: Sequence[Any]) -> Sequence[Array]:
        """The features of some media, in their order."""
        raise NotImplementedError

    @property
    def codec(self) -> str | None:
        """For tokens: the JSON of a Hugging Face tokenizer."""
        return None
