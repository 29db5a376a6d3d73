"""Variational autoencoders of one modality, and networks between their latent spaces (FedRecon, sections 4.3 to 4.6).

FedRecon gives no sizes for its federated runs. The layouts follow the models that it builds on:
mhw32/multimodal-vae-public for vectors, yjlolo/vae-audio for spectrograms. Batch norm is group or layer norm here, with
as many parameters: batch statistics can be neither stacked nor averaged soundly.

Shapes: K clients (may be absent), B batch, T steps, D features, L latent.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from raysim.data.dataset import Modality
from raysim.models.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from raysim.models.encoders import DEFAULTS, within
from raysim.models.layers import Flatten, GroupNorm, LayerNorm, Linear, Unflatten

FRAMES = 63
SPECTROGRAM_WIDTH = 256


class VAE(nn.Module):
    """Diagonal Gaussian posterior, standard normal prior, Gaussian likelihood. Base of all; vectors need no more.

    Attributes:
        steps: steps of a decoded sequence, all valid; 0 where the modality has no steps.
    """

    steps = 0

    def __init__(self, encoder: nn.Module, width: int, latent: int, decoder: nn.Module, dims: int = 1) -> None:
        """`encoder` maps a target with `dims` dimensions to `width` features, `decoder` the latent to a target."""
        super().__init__()
        self.encoder, self.decoder, self.dims = encoder, decoder, dims
        self.mean, self.logvar = Linear(width, latent), Linear(width, latent)

    def target(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What a reconstruction is compared with, from the task model's input x (*K, B, *shape)."""
        return x

    def encode(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the posterior, (*K, B, L) each."""
        return self._posterior(self.target(x, lengths))

    def decode(self, z: Tensor) -> Tensor:
        """(*K, B, L) -> the mean of the likelihood, (*K, B, *shape) as the task model's encoder takes it."""
        return self.decoder(z)

    def lengths(self, z: Tensor) -> Tensor | None:
        """(*K, B), the lengths of decoded sequences; None where the modality has no steps."""
        return None if self.steps == 0 else z.new_full(z.shape[:-1], self.steps, dtype=torch.long)

    def loss(self, x: Tensor, lengths: Tensor | None, eps: Tensor, beta: float) -> Tensor:
        """Squared error summed over a sample plus beta times the divergence from the prior, (*K, B); eq. 3.

        Args:
            x: (*K, B, *shape); rows without this modality must be finite, as a batch's are.
            lengths: (*K, B) or None.
            eps: standard normal (*K, B, L).
            beta: weight of the divergence.
        """
        target = self.target(x, lengths)
        mean, logvar = self._posterior(target)
        error = self.error(mean + eps * (logvar / 2).exp(), target)
        return error + beta * 0.5 * (mean.square() + logvar.exp() - logvar - 1).sum(-1)

    def error(self, z: Tensor, target: Tensor) -> Tensor:
        """Squared error of decoding z (*K, B, L) against a target, summed over a sample: (*K, B)."""
        return (self.decode(z) - target).square().flatten(-self.dims).sum(-1)

    def _posterior(self, target: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(target)
        return self.mean(features), self.logvar(features)


class MeanVAE(VAE):
    """A sequence is replaced by the mean of its valid steps, and decoded as a sequence of one step."""

    steps = 1

    def target(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(*K, B, T, D) -> (*K, B, 1, D)."""
        if lengths is None:
            return x.mean(-2, keepdim=True)
        inside = torch.where(within(lengths, x.shape[-2]).unsqueeze(-1), x, 0.0)
        return inside.sum(-2, keepdim=True) / lengths.clamp(min=1)[..., None, None]


class SpectrogramVAE(VAE):
    """Valid frames are resampled to a fixed number, which the decoder gives back: (*K, B, frames, D)."""

    def __init__(self, bands: int, frames: int, latent: int) -> None:
        """`frames` must be 4 k + 3: only then do two transposed convolutions invert two convolutions of stride 2."""
        length, width = (frames - 3) // 4, SPECTROGRAM_WIDTH
        encoder = nn.Sequential(
            _Transpose(),
            *(Conv1d(bands, 32, 1), GroupNorm(32, 1), nn.Tanh()),
            *(Conv1d(32, 16, 3, stride=2), GroupNorm(16, 1), nn.Tanh()),
            *(Conv1d(16, 8, 3, stride=2), GroupNorm(8, 1), nn.Tanh()),
            Flatten(2),
            *(Linear(8 * length, width), LayerNorm(width), nn.Tanh()),
        )
        decoder = nn.Sequential(
            *(Linear(latent, width), LayerNorm(width), nn.Tanh()),
            *(Linear(width, 8 * length), LayerNorm(8 * length), nn.Tanh()),
            Unflatten(8, length),
            *(ConvTranspose1d(8, 16, 3, stride=2), GroupNorm(16, 1), nn.Tanh()),
            *(ConvTranspose1d(16, 32, 3, stride=2), GroupNorm(32, 1), nn.Tanh()),
            Conv1d(32, bands, 1),
            _Transpose(),
        )
        super().__init__(encoder, width, latent, decoder, dims=2)
        self.steps = frames

    def target(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(*K, B, T, D) -> (*K, B, frames, D), linear between the nearest valid steps."""
        last = x.new_full(x.shape[:-2], x.shape[-2] - 1) if lengths is None else lengths.clamp(min=1).to(x) - 1
        middle = torch.arange(self.steps, device=x.device, dtype=x.dtype) + 0.5
        at = (middle * (last + 1).unsqueeze(-1) / self.steps - 0.5).clamp(min=0)
        at = torch.minimum(at, last.unsqueeze(-1))
        below = at.floor()
        above = torch.minimum(below + 1, last.unsqueeze(-1))
        return torch.lerp(_steps_at(x, below), _steps_at(x, above), (at - below).unsqueeze(-1))


def vae(
    modality: Modality, encoder: str, latent: int = 64, hidden: int = 512, channels: Sequence[int] = (32, 64, 128)
) -> VAE:
    """The autoencoder of a modality, its decoded samples fit for the task model's encoder.

    Args:
        modality: what is generated.
        encoder: name of the task model's encoder, or `auto`.
        latent: width of the latent space.
        hidden: width of the hidden layers for vectors and pooled sequences.
        channels: widths of the convolutions for images, each halving the image. The spectrogram layout is fixed.

    Raises:
        ValueError: the modality is a sequence of token ids, which no continuous likelihood fits.
    """
    if modality.kind == "tokens":
        raise ValueError("token ids have no autoencoder in input space; give the modality as a sequence of features")
    if modality.kind == "image":
        return _image(modality.shape, latent, channels)
    chosen = DEFAULTS[modality.kind] if encoder == "auto" else encoder
    if chosen == "conv_gru":
        steps, bands = modality.shape
        # Shorter sequences are decoded with fewer frames, but never so few that three halvings leave nothing.
        return SpectrogramVAE(bands, max(11, min(FRAMES, (steps - 3) // 4 * 4 + 3)), latent)
    inputs = modality.shape[-1]
    encode = [inputs, hidden, hidden]
    decode = [latent, hidden, hidden, hidden]
    if modality.kind == "vector":
        return VAE(_swish(*encode), hidden, latent, nn.Sequential(_swish(*decode), Linear(hidden, inputs)))
    encoder_net = nn.Sequential(Flatten(2), _swish(*encode))
    decoder_net = nn.Sequential(_swish(*decode), Linear(hidden, inputs), Unflatten(1, inputs))
    return MeanVAE(encoder_net, hidden, latent, decoder_net, dims=2)


def mapping(latent: int, hidden: int = 512) -> nn.Sequential:
    """From one latent space to another, (*K, ..., latent) both: three hidden layers (FedRecon's code)."""
    parts: list[nn.Module] = []
    for before, after in pairwise([latent, hidden, hidden, hidden]):
        parts += [Linear(before, after), LayerNorm(after), nn.GELU()]
    return nn.Sequential(*parts, Linear(hidden, latent))


def _swish(*widths: int) -> nn.Sequential:
    return nn.Sequential(*(part for pair in pairwise(widths) for part in (Linear(*pair), nn.SiLU())))


def _image(shape: tuple[int, ...], latent: int, widths: Sequence[int]) -> VAE:
    """Convolutions of stride 2 and their mirror, for any size: each layer knows the size that it mirrors."""
    channels = [shape[0], *widths]
    sizes = [(shape[1], shape[2])]
    for _ in widths:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    down: list[nn.Module] = []
    for before, after in pairwise(channels):
        down += [Conv2d(before, after, 3, stride=2, padding=1), nn.SiLU()]
    deep = (channels[-1], *sizes[-1])
    features = deep[0] * deep[1] * deep[2]
    up: list[nn.Module] = [Linear(latent, features), Unflatten(*deep)]
    for before, after, (height, width) in zip(channels[:0:-1], channels[-2::-1], sizes[-2::-1], strict=True):
        extra = ((height + 1) % 2, (width + 1) % 2)  # an even size was halved without rounding
        up += [nn.SiLU(), ConvTranspose2d(before, after, 3, stride=2, padding=1, extra=extra)]
    return VAE(nn.Sequential(*down, Flatten(3)), features, latent, nn.Sequential(*up), dims=3)


class _Transpose(nn.Module):
    """(..., T, D) <-> (..., D, T)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mT


def _steps_at(x: Tensor, at: Tensor) -> Tensor:
    """The steps `at` (*K, B, F), whole numbers, of x (*K, B, T, D): (*K, B, F, D)."""
    index = at.long().unsqueeze(-1)
    return x.gather(-2, index.expand(*index.shape[:-1], x.shape[-1]))
