"""MobileNetV2 for weights that were quantised after training, as TensorFlow Lite ships them; needs no torchvision.

The file is an .npz with three arrays for each of the 53 convolutions, the last of which is the classifier:
`w00` (out, in / groups, k, k) int8, `s00` (out,) float32, the step of each channel, and `b00` (out,) float32. Batch
normalisation is folded into them. Sandler et al., "MobileNetV2", CVPR 2018, table 2.
"""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raysim.data.dataset import Array, DataError
from raysim.features.pixels import middle

BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, repetitions, and the stride of the first."""
SIDE, SHORTER = 224, 256
FEATURES, CLASSES = 1280, 1001


class Residual(nn.Module):
    """Layers whose input is added to their output."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) both."""
        return x + self.layers(x)


class Int8MobileNet(nn.Module):
    """Pictures (B, 3, 224, 224) in [-1, 1] to features (B, 1280). The weights stay as they are made."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*_trunk(), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Conv2d(FEATURES, CLASSES, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 1280)."""
        return self.trunk(pictures).flatten(1)

    def logits(self, pictures: Tensor) -> Tensor:
        """(B, 1001): the background, then the classes of ImageNet."""
        return self.classifier(self.trunk(pictures)).flatten(1)


def load(path: Path) -> Int8MobileNet:
    """The network with the weights of a file.

    Raises:
        DataError: it is missing, damaged, or of another network.
    """
    arrays = _read(path)
    network = Int8MobileNet()
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    for i, convolution in enumerate(convolutions):
        shape = tuple(convolution.weight.shape)
        weight = _array(path, arrays, f"w{i:02}", np.int8, shape)
        scale, bias = (_array(path, arrays, f"{key}{i:02}", np.float32, shape[:1]) for key in "sb")
        convolution.load_state_dict({
            "weight": torch.from_numpy(weight * scale[:, None, None, None]), "bias": torch.from_numpy(bias),
        })  # fmt: skip
    return network


def pixels(picture: Any, *, squash: bool) -> Tensor:
    """A PIL image in RGB as (3, 224, 224) in [-1, 1]: scaled to that size, or the middle of one of 256."""
    from PIL import Image

    if squash:
        square = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    else:
        square = middle(picture, SIDE, resize=SHORTER)
    return torch.from_numpy(np.asarray(square, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)


def _trunk() -> Iterator[nn.Module]:
    yield _layer(3, 32, 3, stride=2)
    width = 32
    for expansion, channels, repetitions, first in BLOCKS:
        for stride in (first, *(1,) * (repetitions - 1)):
            inner = width * expansion
            yield (Residual if stride == 1 and width == channels else nn.Sequential)(
                *([_layer(width, inner, 1)] if expansion > 1 else []),
                _layer(inner, inner, 3, stride=stride, groups=inner),
                nn.Conv2d(inner, channels, 1),
            )
            width = channels
    yield _layer(width, FEATURES, 1)


def _layer(inputs: int, outputs: int, side: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution with TensorFlow's "SAME" padding, which at stride 2 is none on the left and on the top."""
    before, after = (0, 1) if stride == 2 else (side // 2, side // 2)
    return nn.Sequential(
        nn.ZeroPad2d((before, after, before, after)),
        nn.Conv2d(inputs, outputs, side, stride, groups=groups),
        nn.ReLU6(),
    )


def _read(path: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except FileNotFoundError as error:
        raise DataError(f"weights: {path} does not exist") from error
    except Exception as error:  # a damaged file makes numpy raise nearly anything
        raise DataError(f"weights: {path} cannot be read as an .npz: {' '.join(str(error).split())}") from error


def _array(path: Path, arrays: Mapping[str, Array], key: str, dtype: type, shape: tuple[int, ...]) -> Array:
    found = arrays.get(key)
    if found is None or found.dtype != dtype or found.shape != shape:
        what = "is not there" if found is None else f"is {found.dtype} {found.shape}"
        raise DataError(f"weights: {path}: {key} {what}; an int8 MobileNetV2 has {np.dtype(dtype)} {shape}")
    return found
