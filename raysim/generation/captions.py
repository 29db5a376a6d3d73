"""Texts of a modality: ids as captions for pictures, and captions that name a colour as ids.

Shapes: B texts, T positions, V words, 8 colours.
"""

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raysim.data.codec import Codec
from raysim.data.dataset import Kind, Modality
from raysim.generation.colours import RANGES, caption

MISSING = "needs tokenizers for texts; run: pip install 'raysim[text]', or write 0"
"""What to do where a codec is of no use."""


def available() -> bool:
    """Whether codecs can be used; nothing is imported."""
    return importlib.util.find_spec("tokenizers") is not None


def shown(modalities: Mapping[str, Modality]) -> tuple[str, ...]:
    """What pictures are taken of: images, and texts whose words are known."""
    return tuple(m for m, spec in modalities.items() if spec.kind == "image" or spec.codec is not None)


def written(modality: Modality, ids: Tensor) -> NDArray[Any]:
    """Ids (B, T) as captions, (B,) of str."""
    codec = _codec(modality)
    return np.array([codec.caption(text) for text in ids.cpu().numpy()], dtype=np.str_)


def pair(kinds: Mapping[str, Kind]) -> tuple[str, str] | None:
    """The text that names a colour and the image that shows it; None where there are several, or none."""
    texts, images = ([m for m, kind in kinds.items() if kind == wanted] for wanted in ("tokens", "image"))
    return (texts[0], images[0]) if len(texts) == len(images) == 1 else None


def coloured(modality: Modality) -> tuple[Tensor, Tensor]:
    """A caption of each colour: ids (8, T), zeros after their end as in batches, and lengths (8,)."""
    texts = _codec(modality).encode([caption(colour) for colour in RANGES])
    ids = torch.zeros(len(texts), *modality.shape, dtype=torch.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = torch.from_numpy(text)
    return ids, torch.tensor([len(text) for text in texts])


def obstacle(name: str, modality: Modality) -> str | None:
    """Why captions of the eight colours are no texts of this modality, in a line with the way out; None if they are."""
    if modality.codec is None:
        return f"is made of captions, and nothing says what the ids of '{name}' mean; prepare it as tokens, or write 0"
    if not available():
        return MISSING
    texts, (longest,) = modality.codec.encode([caption(colour) for colour in RANGES]), modality.shape
    for colour, ids in zip(RANGES, texts, strict=True):
        if colour not in modality.codec.decode(ids.tolist()).lower().split():
            return f"is made of captions, and '{name}' has no word '{colour}'; prepare it with a lower min_count"
        if len(ids) > longest:
            return f"is made of captions of {len(ids)} words, and '{name}' has {longest} at most; write 0"
    return None


def _codec(modality: Modality) -> Codec:
    assert modality.codec is not None, "asked before anything starts"
    return modality.codec
