"""MobileNetV2's last features (1280,) of a picture, the mean over its surface.

As FedMultimodal extracts them (Feng et al. 2023, section 4): torchvision's network with ImageNet's weights, pictures
whose shorter side is scaled to 256 and of which the middle 224 is cut out. An .npz of int8 weights, which needs no
torchvision, is described in `raysim/features/_mobilenet_int8.py`.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, StrictBool, StrictStr

from raysim.data.dataset import Array
from raysim.data.extractor import Extractor


class MobileNetV2(Extractor):
    """One vector a picture."""

    class Options(Extractor.Options):
        """What may be chosen."""

        weights: StrictStr = Field(
            default="imagenet",
            description="`imagenet`: torchvision's IMAGENET1K_V1, downloaded at the first use; the path of a state "
            "dict (.pth) or of int8 weights (.npz); or `random`, for tests.",
        )
        squash: StrictBool = Field(default=False, description="Scale the whole picture to 224 x 224, cut nothing off.")

    options: Options
    reads = "image"
    gpu = True
    requires: ClassVar = {"PIL": "vision"}

    def open(self) -> None:
        """Loads the weights."""
        from raysim.features import _mobilenet_int8, _torchvision

        weights, squash = self.options.weights, self.options.squash
        if weights.endswith(".npz"):
            network, pixels = _mobilenet_int8.load(Path(weights)), _mobilenet_int8.pixels
        else:
            network = _torchvision.network("mobilenet_v2", "classifier", weights, seed=0)
            pixels = _torchvision.pixels
        self._backbone = _torchvision.Backbone(network, partial(pixels, squash=squash))

    def extract(self, media: Sequence[Any]) -> Sequence[Array]:
        """(1280,) float32 each."""
        return self._backbone(media)
