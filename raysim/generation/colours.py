"""Whether a picture has the colour that its caption names: how coherence is measured on CUB.

Source: Palumbo, Daunhawer and Vogt, "MMVAE+", 2023, count pictures of "this bird is completely C" in which C is one of
the two most frequent colours; the ranges are those of the re-measurement that multivae's author published. Its hue
ran from 0 to 255 where the ranges want OpenCV's; here it is OpenCV's.

Shapes: B pictures, H height, W width.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

_FULL = (0, 180)
RANGES: Mapping[str, tuple[tuple[tuple[int, int], ...], tuple[int, int], tuple[int, int]]] = {
    "white": ((_FULL,), (0, 18), (120, 255)),
    "yellow": (((25, 35),), (50, 255), (70, 255)),
    "red": (((0, 15), (159, 180)), (50, 255), (70, 255)),
    "blue": (((90, 158),), (50, 255), (70, 255)),
    "green": (((36, 89),), (50, 255), (70, 255)),
    "gray": ((_FULL,), (0, 18), (50, 120)),
    "brown": (((16, 24),), (50, 255), (70, 255)),
    "black": ((_FULL,), (0, 255), (0, 50)),
}
"""Colour -> ranges of hue, of saturation and of value, both ends included. Some overlap."""

_SHIFT = 12
_DIVISORS = np.arange(256).clip(min=1)
_SATURATION, _HUE = (
    torch.from_numpy(np.rint(top / (part * _DIVISORS)).astype(np.int64) * (np.arange(256) > 0))
    for top, part in ((255 << _SHIFT, 1.0), (180 << _SHIFT, 6.0))
)
"""OpenCV's tables of reciprocals, as whole numbers."""


def caption(colour: str) -> str:
    """What a picture is made of.

    Raises:
        ValueError: it is none of the eight colours.
    """
    return f"this bird is completely {_known(colour)}"


def coherent(images: Tensor, colour: str) -> Tensor:
    """(B,) bool: whether no more than one of the eight colours has more pixels than this one.

    A picture that has none of it has lost, whatever ties there are, and so has one that is not a number somewhere.

    Args:
        images: (B, 3, H, W) in [0, 1]; rounded to 8 bits, as in a file.
        colour: one of the eight.

    Raises:
        ValueError: it is none of the eight colours, or the pictures are grey.
    """
    if images.shape[-3] != 3:
        raise ValueError(f"pictures of {images.shape[-3]} channels have no colours; give 3 channels")
    pixels, sound = hsv(images.nan_to_num(0.0)), images.isfinite().flatten(-3).all(-1)
    counts = {name: _inside(pixels, name).sum(dim=(-2, -1)) for name in RANGES}
    own = counts[_known(colour)]
    ahead = torch.stack([n > own for n in counts.values()]).sum(0)
    return (ahead < 2) & (own > 0) & sound


def hsv(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> hue from 0 to 179, saturation and value to 255, as OpenCV rounds them for 8 bits."""
    whole = (images.clamp(0, 1) * 255).round().long()
    red, green, blue = whole.unbind(-3)
    value = whole.amax(-3)
    span = value - whole.amin(-3)
    sixth = torch.where(
        value == red, green - blue, torch.where(value == green, blue - red + 2 * span, red - green + 4 * span)
    )
    half = 1 << (_SHIFT - 1)
    saturation = (span * _SATURATION[value] + half) >> _SHIFT
    hue = (sixth * _HUE[span] + half) >> _SHIFT
    return torch.stack([torch.where(hue < 0, hue + 180, hue), saturation, value], dim=-3)


def _inside(pixels: Tensor, colour: str) -> Tensor:
    """(B, 3, H, W) -> (B, H, W) bool."""
    hue, saturation, value = pixels.unbind(-3)
    hues, (s_least, s_most), (v_least, v_most) = RANGES[colour]
    inside = torch.stack([(hue >= least) & (hue <= most) for least, most in hues]).any(0)
    return inside & (saturation >= s_least) & (saturation <= s_most) & (value >= v_least) & (value <= v_most)


def _known(colour: str) -> str:
    if colour not in RANGES:
        raise ValueError(f"there is no colour '{colour}'; there are: {', '.join(RANGES)}")
    return colour
