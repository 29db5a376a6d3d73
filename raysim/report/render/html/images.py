"""Pictures as part of the page: PNG as data URIs, made smaller where they are large."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

WIDEST = 1400
"""Pixels."""
MOST_BYTES = 120_000
"""Of a picture; a larger one keeps fewer colours, then fewer pixels."""
_COLOURS = 96


@dataclass(frozen=True)
class Image:
    """A picture with its size on the page in pixels."""

    title: str
    source: str
    width: int
    height: int
    kind: Literal["image"] = "image"


def image(title: str, path: Path) -> Image:
    """A PNG file as a data URI, of about `MOST_BYTES` at most.

    Raises:
        OSError: it cannot be read, or is no picture.
    """
    from PIL import Image as Pictures  # matplotlib depends on it

    content = path.read_bytes()
    with Pictures.open(io.BytesIO(content)) as picture:
        shown, width = picture.convert("RGB"), min(picture.width, WIDEST)
    size = round(shown.height * width / shown.width)
    pixels = width
    while len(content) > MOST_BYTES and pixels > 300:
        small = shown.resize((pixels, round(shown.height * pixels / shown.width)), Pictures.Resampling.LANCZOS)
        buffer = io.BytesIO()
        small.quantize(_COLOURS).save(buffer, "png", optimize=True)
        content, pixels = buffer.getvalue(), round(pixels * 0.75)
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return Image(title, source, min(width, 900), round(size * min(width, 900) / width))
