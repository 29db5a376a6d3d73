"""Pictures kept as PNG or JPEG files of one size, decoded when they are used: for encoders that learn from pixels.

The defaults are those of FIN (Poudel et al. 2025): the whole picture is scaled to 224 x 224.
"""

import io
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, StrictBool

from raysim.data.dataset import Array
from raysim.data.extractor import Extractor
from raysim.features.pixels import middle


class Raw(Extractor):
    """One file a picture."""

    class Options(Extractor.Options):
        """What may be chosen."""

        size: Annotated[int, Field(ge=1)] = Field(default=224, description="Side of the square, in pixels.")
        squash: StrictBool = Field(
            default=True, description="Scale the whole picture to the square; otherwise its middle is cut out."
        )
        color: Literal["rgb", "grey"] = Field(default="rgb", description="Three channels, or one.")
        format: Literal["jpeg", "png"] = Field(default="jpeg", description="How images are stored; png loses nothing.")
        quality: Annotated[int, Field(ge=1, le=100)] = Field(default=95, description="Of JPEG; PNG loses nothing.")

    options: Options
    reads = "image"
    requires: ClassVar = {"PIL": "vision"}

    def extract(self, media: Sequence[Any]) -> Sequence[Array]:
        """(S,) uint8 each, the bytes of a file."""
        return [self._file(picture) for picture in media]

    def _file(self, picture: Any) -> Array:
        from PIL import Image

        o = self.options
        picture = picture.convert("L" if o.color == "grey" else "RGB")
        square = picture.resize((o.size, o.size), Image.Resampling.BILINEAR) if o.squash else middle(picture, o.size)
        square.info = {}  # no colour profiles, no comments
        file = io.BytesIO()
        square.save(file, o.format, **({"quality": o.quality} if o.format == "jpeg" else {}))
        return np.frombuffer(file.getvalue(), dtype=np.uint8)
