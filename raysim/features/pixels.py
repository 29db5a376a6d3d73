"""Pictures as uint8 arrays (channels, height, width), all in memory: for small ones."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from raysim.data.dataset import Array
from raysim.data.extractor import Extractor


class Pixels(Extractor):
    """The shorter side is scaled to `size`, then the middle is cut out; without a size pictures stay as they are."""

    class Options(Extractor.Options):
        """What may be chosen."""

        size: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Side of the square, in pixels.")
        color: Literal["rgb", "grey"] = Field(default="rgb", description="Three channels, or one.")

    options: Options
    reads = "image"
    chunk = 512
    requires: ClassVar = {"PIL": "vision"}

    def extract(self, media: Sequence[Any]) -> Sequence[Array]:
        """PIL images to arrays."""
        found: list[Array] = []
        for picture in media:
            square = picture if self.options.size is None else middle(picture, self.options.size)
            pixels = np.asarray(square.convert("L" if self.options.color == "grey" else "RGB"))
            found.append(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
        return found


def middle(picture: Any, size: int, *, resize: int | None = None) -> Any:
    """A PIL image whose shorter side is scaled to `resize` (or `size`) and of which the middle `size` is kept.

    Sides are rounded as torchvision rounds them.
    """
    from PIL import Image

    shorter = min(picture.size)
    width, height = (int((resize or size) * side / shorter) for side in picture.size)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return picture.crop((left, top, left + size, top + size))
