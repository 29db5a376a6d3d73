"""ResNet-50's last features (2048,) of a picture, the mean over its surface; torchvision's network.

The defaults are those of FIN (Poudel et al. 2025), whose image encoder it is: ImageNet's weights, the whole picture
scaled to 224 x 224. Here it stays frozen.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from pydantic import Field, StrictBool, StrictStr

from raysim.data.dataset import Array
from raysim.data.extractor import Extractor


class ResNet50(Extractor):
    """One vector a picture."""

    class Options(Extractor.Options):
        """What may be chosen."""

        weights: StrictStr = Field(
            default="imagenet",
            description="`imagenet`: torchvision's IMAGENET1K_V1, downloaded at the first use; the path of a state "
            "dict (.pth); or `random`, for tests.",
        )
        squash: StrictBool = Field(
            default=True, description="Scale the whole picture to 224 x 224; otherwise its middle is cut out."
        )

    options: Options
    reads = "image"
    gpu = True
    requires: ClassVar = {"PIL": "vision"}

    def open(self) -> None:
        """Loads the weights."""
        from raysim.features import _torchvision

        network = _torchvision.network("resnet50", "fc", self.options.weights, seed=0)
        self._backbone = _torchvision.Backbone(network, partial(_torchvision.pixels, squash=self.options.squash))

    def extract(self, media: Sequence[Any]) -> Sequence[Array]:
        """(2048,) float32 each."""
        return self._backbone(media)
