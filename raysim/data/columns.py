"""One modality's arrays, in the layout of `raysim/data/arrays.py`: what kind it is, its samples, their lengths.

Shapes: N samples, T steps, D features, S steps of all samples together.
"""

import tokenize
import zipfile
from collections.abc import Callable, Mapping

import numpy as np

from raysim.data.codec import Codec
from raysim.data.dataset import Array, DataError, Kind, Modality
from raysim.data.ragged import Pictures, Ragged, inside

_PADDED: Mapping[tuple[int, str], Kind] = {
    (2, "f"): "vector", (3, "f"): "sequence", (4, "f"): "image", (4, "u1"): "image",
    (2, "i"): "tokens", (2, "u"): "tokens", (2, "u1"): "tokens",
}  # fmt: skip
"""What a modality is, by the number of dimensions and the type of its array."""
_RAGGED: Mapping[tuple[int, str], Kind] = {
    (2, "f"): "sequence",
    (1, "u1"): "image",
    (1, "i"): "tokens",
    (1, "u"): "tokens",
}
"""The same where its samples stand one after another."""
UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, tokenize.TokenError)
"""What numpy raises on files that are damaged or no arrays."""


def type_of(dtype: np.dtype[np.generic]) -> str:
    """What the tables above call a type."""
    return "u1" if dtype == np.uint8 else dtype.kind


def kind_of(headers: Mapping[str, tuple[int, str]], name: str) -> Kind | None:
    """What a modality is, from the dimensions and types of all arrays; None where that is nothing known."""
    return (_RAGGED if f"span.{name}" in headers else _PADDED).get(headers[f"x.{name}"])


class Column:
    """Reads one modality.

    Args:
        arrays: all arrays by key.
        name: the modality.
        count: N.
        error: (key, message) -> the error to raise.

    Attributes:
        present: (N,) bool, the samples that have it.
    """

    def __init__(
        self, arrays: Mapping[str, Array], name: str, count: int, error: Callable[[str, str], DataError]
    ) -> None:
        self.arrays, self.name, self.count, self._error = arrays, name, count, error
        self.present = self._present()

    def read(self) -> tuple[Modality, Array | Ragged, Array | None]:
        """What it is, its samples, and (N,) lengths where it has any.

        Raises:
            DataError: an array is malformed.
        """
        return self._ragged() if f"span.{self.name}" in self.arrays else self._padded()

    def _padded(self) -> tuple[Modality, Array, Array | None]:
        """A modality of one row a sample, with its lengths where it has any; steps after a sample's end are zeros."""
        key, x = f"x.{self.name}", self.arrays[f"x.{self.name}"]
        kind = _PADDED.get((x.ndim, type_of(x.dtype)))
        if kind is None:
            raise self._error(
                key,
                f"is {x.dtype} of shape {x.shape}; write floats (N, D), (N, T, D) or (N, C, H, W), "
                "uint8 (N, C, H, W), or integers (N, T)",
            )
        if 0 in x.shape[1:]:
            raise self._error(key, f"has shape {x.shape}, which is empty")
        x = self._typed(x, kind)
        lengths = self._lengths(x.shape[1]) if kind in ("sequence", "tokens") else None
        if lengths is not None and (lengths < x.shape[1]).any():
            valid = inside(lengths, x.shape[1])
            x = np.where(valid.reshape(*valid.shape, *[1] * (x.ndim - 2)), x, 0).astype(x.dtype)
        self._finite(x)
        return Modality(kind, x.shape[1:], *self._meaning(x, kind)), x, lengths

    def _ragged(self) -> tuple[Modality, Ragged, Array | None]:
        """A modality whose samples stand one after another, and their lengths."""
        key, x, spans = f"x.{self.name}", self.arrays[f"x.{self.name}"], self.arrays[f"span.{self.name}"]
        kind = _RAGGED.get((x.ndim, type_of(x.dtype)))
        if kind is None:
            raise self._error(
                key,
                f"is {x.dtype} of shape {x.shape}; with span.{self.name} write floats (S, D), integers (S,), "
                "or bytes (S,)",
            )
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

    def _typed(self, x: Array, kind: Kind) -> Array:
        """As it is used: float32, int64 or uint8."""
        if kind == "tokens":
            if x.min(initial=0) < 0:
                raise self._error(f"x.{self.name}", f"has the token {x.min()}; tokens count from 0")
            return x.astype(np.int64, copy=False)
        return x if x.dtype == np.uint8 else x.astype(np.float32, copy=False)

    def _meaning(self, x: Array, kind: Kind) -> tuple[int | None, Codec | None]:
        """The size of a token modality's vocabulary and its codec."""
        if kind != "tokens":
            return None, None
        used = int(x.max(initial=0)) + 1
        if f"codec.{self.name}" not in self.arrays:
            return used, None
        codec = Codec(str(self.arrays[f"codec.{self.name}"]))
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

    def _finite(self, x: Array | Ragged) -> None:
        if x.dtype.kind != "f":
            return
        if isinstance(x, Ragged):
            strange = np.concatenate([[0], np.cumsum(~np.isfinite(x.values).all(axis=1))])
            bad = np.flatnonzero(self.present & (strange[x.spans[:, 1]] > strange[x.spans[:, 0]]))
        else:
            bad = np.flatnonzero(self.present & ~np.isfinite(x).reshape(self.count, -1).all(axis=1))
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
