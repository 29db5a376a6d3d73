"""What a modality is, from the shapes and types of its arrays: all that their headers tell.

Shapes: N samples, T steps, D features, S steps of all samples together.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from raysim.data.dataset import Kind

PADDED: Mapping[tuple[int, str], Kind] = {
    (2, "f"): "vector", (3, "f"): "sequence", (4, "f"): "image", (4, "u1"): "image",
    (2, "i"): "tokens", (2, "u"): "tokens", (2, "u1"): "tokens",
}  # fmt: skip
"""What a modality is, by the number of dimensions and the type of its array."""
RAGGED: Mapping[tuple[int, str], Kind] = {
    (2, "f"): "sequence",
    (1, "u1"): "image",
    (1, "i"): "tokens",
    (1, "u"): "tokens",
}
"""The same where its samples stand one after another."""
CHANNELS = 4
"""Pictures have up to so many, when they are saved with the channels last."""


class Shaped(Protocol):
    """An array, or its header."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its size along each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its values."""
        ...


def type_of(dtype: np.dtype[np.generic]) -> str:
    """What the tables above call a type."""
    return "u1" if dtype == np.uint8 else dtype.kind


def kind_of(headers: Mapping[str, Shaped], name: str) -> Kind | None:
    """What a modality is, from all arrays or their headers; None where that is nothing known."""
    x = headers[f"x.{name}"]
    return (RAGGED if f"span.{name}" in headers else PADDED).get((len(x.shape), type_of(x.dtype)))


def misfit(headers: Mapping[str, Shaped], name: str) -> tuple[str, str] | None:
    """The key and what is wrong with a modality's arrays, as far as shapes and types tell; None where nothing is."""
    key, x = f"x.{name}", headers[f"x.{name}"]
    kind, spans, found = kind_of(headers, name), f"span.{name}" in headers, f"is {x.dtype} of shape {x.shape}; "
    if kind is None and spans:
        return key, f"{found}with span.{name} write floats (S, D), integers (S,), or bytes (S,)"
    if kind is None:
        return key, found + _wanted(x)
    if 0 in x.shape[1:]:
        return key, f"has shape {x.shape}, which is empty"
    if kind == "image" and not spans and x.shape[3] <= CHANNELS < min(x.shape[1:3]):
        return key, (
            f"has shape {x.shape}; pictures have their channels first, (N, C, H, W): write numpy.moveaxis(x, -1, 1)"
        )
    if f"length.{name}" in headers and (spans or kind not in ("sequence", "tokens")):
        why = f"span.{name} says it already" if spans else f"x.{name} is {kind}, which has no steps"
        return f"length.{name}", f"has no use: {why}; remove it"
    if f"codec.{name}" in headers and kind != "tokens":
        return f"codec.{name}", f"has no use: x.{name} is {kind}, not tokens; remove it"
    return None


def _wanted(x: Shaped) -> str:
    """What would be a modality instead."""
    if x.dtype.kind in "iub" and x.dtype != np.uint8 and len(x.shape) in (3, 4):
        return "write floats: x.astype('float32')" + (", or uint8 (N, C, H, W)" if len(x.shape) == 4 else "")
    if x.dtype == np.uint8 and len(x.shape) == 3:
        return "write pictures as (N, C, H, W): x[:, None], or sequences as floats: x.astype('float32')"
    if x.dtype.kind == "f" and len(x.shape) == 1:
        return "write floats (N, D): x[:, None]"
    return "write floats (N, D), (N, T, D) or (N, C, H, W), uint8 (N, C, H, W), or integers (N, T)"
