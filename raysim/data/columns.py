"""One modality's arrays, in the layout of `raysim/data/arrays.py`: its samples, their lengths, what they mean.

Shapes: N samples, T steps, D features, S steps of all samples together.
"""

from collections.abc import Callable, Mapping

import numpy as np

from raysim.data.codec import Codec
from raysim.data.dataset import Array, DataError, Kind, Modality
from raysim.data.forms import PADDED, RAGGED, Shaped, misfit, type_of
from raysim.data.mapped import Mapped
from raysim.data.pieces import Inputs, cut
from raysim.data.ragged import Pictures, Ragged, inside

MOST_TOKENS = 300_000
"""A larger vocabulary than anybody's: what has more are numbers, or ids."""


class Column:
    """Reads one modality.

    Args:
        arrays: all arrays by key, but those of samples.
        x: the modality's samples, in memory or in a file.
        name: the modality.
        count: N.
        error: (key, message) -> the error to raise.

    Attributes:
        present: (N,) bool, the samples that have it.
    """

    def __init__(
        self, arrays: Mapping[str, Array], x: Array | Mapped, name: str, count: int,
        error: Callable[[str, str], DataError],
    ) -> None:  # fmt: skip
        self.arrays, self.x, self.name, self.count, self._error = arrays, x, name, count, error
        self.present = self._present()

    def read(self) -> tuple[Modality, Inputs, Array | None]:
        """What it is, its samples, and (N,) lengths where it has any. Floats stay as they are written.

        Raises:
            DataError: an array is malformed.
        """
        shaped: dict[str, Shaped] = {**self.arrays, f"x.{self.name}": self.x}
        if (wrong := misfit(shaped, self.name)) is not None:
            raise self._error(*wrong)
        return self._ragged() if f"span.{self.name}" in self.arrays else self._padded()

    def _padded(self) -> tuple[Modality, Array | Mapped, Array | None]:
        """A modality of one row a sample, with its lengths where it has any; steps after a sample's end are zeros."""
        kind = PADDED[self.x.ndim, type_of(self.x.dtype)]
        x = self._typed(self.x, kind)
        lengths = self._lengths(x.shape[1]) if kind in ("sequence", "tokens") else None
        if lengths is not None and (lengths < x.shape[1]).any():
            x = x.shortened(lengths) if isinstance(x, Mapped) else _shortened(x, lengths)
        self._finite(x)
        return Modality(kind, x.shape[1:], *self._meaning(x, kind)), x, lengths

    def _ragged(self) -> tuple[Modality, Ragged, Array | None]:
        """A modality whose samples stand one after another, and their lengths."""
        x, spans = self.x, self.arrays[f"span.{self.name}"]
        kind = RAGGED[x.ndim, type_of(x.dtype)]
        if spans.shape != (self.count, 2) or spans.dtype.kind not in "iu":
            raise self._error(f"span.{self.name}", f"is {spans.dtype} of shape {spans.shape}; write integers (N, 2)")
        spans = np.where(self.present[:, None], spans, 0).astype(np.int64)
        wrong = np.flatnonzero(
            self.present & ((spans[:, 0] < 0) | (spans[:, 0] >= spans[:, 1]) | (spans[:, 1] > len(x)))
        )
        if len(wrong):
            raise self._error(
                f"span.{self.name}", f"is {spans[wrong[0]].tolist()} in row {wrong[0]}; x has {len(x)} steps"
            )
        if kind == "image":
            return Modality(kind, self._size(Pictures(x, spans[self.present][:1]))), Pictures(x, spans), None
        ragged = Ragged(self._typed(x, kind), spans)
        self._finite(ragged)
        steps = int(ragged.lengths.max(initial=1))
        modality = Modality(kind, (steps, *x.shape[1:]), *self._meaning(ragged.values, kind))
        return modality, ragged, np.maximum(ragged.lengths, 1)

    def _size(self, first: Pictures) -> tuple[int, ...]:
        try:
            return first.decoded().shape[1:]
        except (OSError, ValueError) as error:
            raise self._error(
                f"x.{self.name}", f"does not begin with an image file: {error}; write PNG or JPEG"
            ) from error

    def _typed(self, x: Array | Mapped, kind: Kind) -> Array | Mapped:
        """Tokens as int64; else as it is."""
        if kind != "tokens":
            return x
        smallest, largest = _extremes(x)
        if smallest < 0 or largest >= MOST_TOKENS:
            why = "" if smallest < 0 else f", more than {MOST_TOKENS:,}"
            raise self._error(
                f"x.{self.name}",
                f"has the token {smallest if smallest < 0 else largest}; tokens count from 0{why}; features are "
                "floats: x.astype('float32')",
            )
        return x.astype(np.int64, copy=False)

    def _meaning(self, x: Array | Mapped, kind: Kind) -> tuple[int | None, Codec | None]:
        """The size of a token modality's vocabulary and its codec."""
        if kind != "tokens":
            return None, None
        used = _extremes(x)[1] + 1
        if f"codec.{self.name}" not in self.arrays:
            return used, None
        text = self.arrays[f"codec.{self.name}"]
        if text.size != 1 or text.dtype.kind != "U":
            raise self._error(f"codec.{self.name}", f"is {text.dtype} of shape {text.shape}; write one text")
        codec = Codec(str(text.item()))
        try:
            known = codec.vocabulary
        except ImportError:
            return used, codec
        except Exception as error:  # tokenizers raises plain exceptions
            raise self._error(
                f"codec.{self.name}", f"is no tokenizer's JSON: {error}; write Tokenizer.to_str()"
            ) from error
        if known < used:
            raise self._error(
                f"codec.{self.name}",
                f"knows {known} tokens, but x.{self.name} has {used - 1}; they do not belong together",
            )
        return known, codec

    def _lengths(self, steps: int) -> Array:
        key = f"length.{self.name}"
        lengths = self.arrays.get(key)
        if lengths is None:
            return np.full(self.count, steps, dtype=np.int64)
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu":
            raise self._error(key, f"is {lengths.dtype} of shape {lengths.shape}; write integers (N,)")
        wrong = np.flatnonzero(self.present & ((lengths < 1) | (lengths > steps)))
        if len(wrong):
            raise self._error(key, f"is {lengths[wrong[0]]} in row {wrong[0]}; it must be 1 to {steps}")
        return np.where(self.present, lengths, 1).astype(np.int64)

    def _finite(self, x: Inputs) -> None:
        if x.dtype.kind != "f":
            return
        if isinstance(x, Ragged):
            strange = np.concatenate([[0], np.cumsum(_strange(x.values))])
            bad = np.flatnonzero(self.present & (strange[x.spans[:, 1]] > strange[x.spans[:, 0]]))
        else:
            bad = np.flatnonzero(self.present & _strange(x))
        if len(bad):
            raise self._error(
                f"x.{self.name}",
                f"is not finite in {len(bad)} samples that have it, first in row {bad[0]}; "
                f"mend them, or set present.{self.name} to False there",
            )

    def _present(self) -> Array:
        present = self.arrays.get(f"present.{self.name}")
        if present is None:
            return np.ones(self.count, dtype=bool)
        if present.shape != (self.count,) or not np.isin(present, (0, 1)).all():
            raise self._error(
                f"present.{self.name}", f"is {present.dtype} of shape {present.shape}; write booleans (N,)"
            )
        return present.astype(bool)


def _shortened(x: Array, lengths: Array) -> Array:
    """Zeros after each sample's end."""
    valid = inside(lengths, x.shape[1])
    return np.where(valid.reshape(*valid.shape, *[1] * (x.ndim - 2)), x, 0).astype(x.dtype)


def _extremes(x: Array | Mapped) -> tuple[int, int]:
    """The smallest and the largest number, and 0."""
    smallest = largest = 0
    for part in cut(x, np.arange(len(x))):
        found = x[part]
        smallest, largest = min(smallest, int(found.min(initial=0))), max(largest, int(found.max(initial=0)))
    return smallest, largest


def _strange(x: Array | Mapped) -> Array:
    """(N,) bool: where a row holds NaN or infinity."""
    parts = cut(x, np.arange(len(x)))
    return np.concatenate([~np.isfinite(x[p]).reshape(len(p), -1).all(axis=1) for p in parts])
