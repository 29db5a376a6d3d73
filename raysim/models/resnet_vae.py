"""The residual autoencoder of images that FedRecon's tables 3 and 4 are about: that of MMVAE+ for PolyMNIST and CUB.

The layout is that of epalu/mmvaeplus. A latent vector is [w; z], of one length: w of the modality alone, z of what
modalities share, each encoded by a trunk of its own. There a second head gives a scale, by a softmax over the latent
space; here it gives the log variance, as in every `VaeEncoder`. What is private and what is shared is a matter of the
loss: one that does not tell, as FedRecon's eq. 3, trains one latent vector.

CUB's has three more halvings, which leave the channels at four times `width`.

Shapes: K clients (may be absent), B batch, C channels.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from raysim.data.dataset import Modality
from raysim.models.convolution import AvgPool2d, Conv2d, Upsample2d
from raysim.models.layers import Flatten, Linear, Unflatten
from raysim.models.vae import VaeDecoder, VaeEncoder

SLOPE = 0.2


class ResidualBlock(nn.Module):
    """(*K, B, inputs, height, width) -> (*K, B, outputs, height, width)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        hidden = min(inputs, outputs)
        self.shortcut = nn.Identity() if inputs == outputs else Conv2d(inputs, outputs, 1, bias=False)
        self.residual = nn.Sequential(
            *(nn.LeakyReLU(SLOPE), Conv2d(inputs, hidden, 3, padding=1)),
            *(nn.LeakyReLU(SLOPE), Conv2d(hidden, outputs, 3, padding=1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """A tenth of the residual is added."""
        return self.shortcut(x) + 0.1 * self.residual(x)


class TwoBranchEncoder(VaeEncoder):
    """The posterior of [w; z]: this encoder's own half is w, `shared` gives z."""

    def __init__(self, private: nn.Module, shared: nn.Module, width: int, latent: int) -> None:
        """`private` and `shared` map a target to (*K, B, width) each."""
        super().__init__(private, width, latent // 2)
        self.shared = VaeEncoder(shared, width, latent // 2)

    def forward(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, (*K, B, latent) each."""
        (w, w_logvar), (z, z_logvar) = super().forward(target), self.shared(target)
        return torch.cat([w, z], dim=-1), torch.cat([w_logvar, z_logvar], dim=-1)


def resnet_vae(
    modality: Modality, latent: int = 64, width: int = 64, *, branches: Literal[1, 2] = 2, halvings: int = 2
) -> tuple[VaeEncoder, VaeDecoder]:
    """The autoencoder of an image.

    Args:
        modality: what is generated, (C, height, width).
        latent: width of the latent space; with two branches half of it is for w and half for z.
        width: channels at full size; they double with each of the first two halvings of the image.
        branches: one where the latent space has no halves.
        halvings: of the image; two for PolyMNIST, five for CUB.

    Raises:
        ValueError: the image is not restored by as many doublings, or the latent space has no halves.
    """
    channels, *size = modality.shape
    if any(pixels % 2**halvings for pixels in size):
        raise ValueError(
            f"the residual autoencoder halves an image {halvings} times: height and width "
            f"must be multiples of {2**halvings}, not {size[0]} and {size[1]}; crop it or choose another autoencoder"
        )
    if branches == 2 and latent % 2:
        raise ValueError(f"the residual autoencoder's latent space has two halves; make its width even, not {latent}")
    widths = [width * min(2**i, 4) for i in range(halvings + 1)]
    deep = (widths[-1], size[0] // 2**halvings, size[1] // 2**halvings)
    features = deep[0] * deep[1] * deep[2]
    decoder = nn.Sequential(
        Linear(latent, features),
        Unflatten(*deep),
        *(part for pair in pairwise(widths[::-1]) for part in (ResidualBlock(*pair), Upsample2d(2))),
        *(ResidualBlock(width, width), nn.LeakyReLU(SLOPE)),
        Conv2d(width, channels, 3, padding=1),
    )
    trunk = _trunk(channels, widths)
    if branches == 1:
        encoder = VaeEncoder(trunk, features, latent)
    else:
        encoder = TwoBranchEncoder(trunk, _trunk(channels, widths), features, latent)
    return encoder, VaeDecoder(decoder, dims=3)


def _trunk(channels: int, widths: Sequence[int]) -> nn.Sequential:
    full = widths[0]
    return nn.Sequential(
        *(Conv2d(channels, full, 3, padding=1), ResidualBlock(full, full)),
        *(part for pair in pairwise(widths) for part in (AvgPool2d(3, stride=2, padding=1), ResidualBlock(*pair))),
        Flatten(3),
    )
