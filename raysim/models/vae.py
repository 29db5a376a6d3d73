"""Variational autoencoders of one modality (FedRecon, sections 4.3 to 4.6).

FedRecon gives no sizes for its federated runs. The layouts follow the models that it builds on:
mhw32/multimodal-vae-public for vectors, yjlolo/vae-audio for spectrograms. Batch norm is group or layer norm here, with
as many parameters: batch statistics can be neither stacked nor averaged soundly.

Shapes: K clients (may be absent), B batch, S draws, T steps, D features, L latent.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from raysim.data.dataset import Modality
from raysim.models.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from raysim.models.encoders import DEFAULTS, within
from raysim.models.layers import Flatten, GroupNorm, LayerNorm, Linear, Unflatten
from raysim.models.likelihood import UNIT, Categorical, Likelihood, Normal

FRAMES = 63
SPECTROGRAM_WIDTH = 256


class VaeEncoder(nn.Module):
    """A target (*K, B, *shape) -> mean and log variance of its posterior, (*K, B, L) each. Vectors need no more.

    Other families make their scale of the second one in another way (`priors.scaled`).
    """

    def __init__(self, net: nn.Module, width: int, latent: int) -> None:
        """`net` maps a target to (*K, B, width)."""
        super().__init__()
        self.net = net
        self.mean, self.logvar = Linear(width, latent), Linear(width, latent)

    def target(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What is encoded, and what a reconstruction is compared with, of the task model's input x (*K, B, *shape)."""
        return x

    def embedded(self, target: Tensor) -> Tensor:
        """A target as a second encoder of the same modality takes it: as it is, or words as vectors."""
        return target

    def forward(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance."""
        features = self.net(target)
        return self.mean(features), self.logvar(features)


class VaeDecoder(nn.Module):
    """A latent vector (*K, B, L) -> the mean of a Gaussian of unit variance, as the task model's encoder takes it.

    Attributes:
        likelihood: what else the output may say of a target.
    """

    likelihood: Likelihood = UNIT

    def __init__(self, net: nn.Module, dims: int = 1, steps: int = 0) -> None:
        """`net` maps a latent vector to a target of `dims` dimensions, which has `steps` steps where it has any."""
        super().__init__()
        self.net, self.dims, self.steps = net, dims, steps

    def forward(self, z: Tensor) -> Tensor:
        """(*K, B, L) -> (*K, B, *shape)."""
        return self.net(z)

    def lengths(self, z: Tensor) -> Tensor | None:
        """(*K, B), the lengths of decoded sequences; None where the modality has no steps."""
        return None if self.steps == 0 else z.new_full(z.shape[:-1], self.steps, dtype=torch.long)

    def error(self, z: Tensor, target: Tensor, lengths: Tensor | None = None) -> Tensor:
        """-log p(target | z) of z (*K, B, L) times its weight, (*K, B); of a normal likelihood without its constant."""
        says = self.likelihood
        if isinstance(says, Normal):
            return says.weight / (2 * says.scale**2) * self.squared(self(z) - target)
        lengths = None if target.is_floating_point() else lengths
        return -says.weight * self.log_prob(z.unsqueeze(-2), target, lengths).squeeze(-1)

    def expected(self, target: Tensor) -> Tensor:
        """A target in the shape of the likelihood's mean: as it is, or words as one-hot vectors."""
        return target

    def draws(self, z: Tensor) -> Tensor:
        """Several latent vectors in a row at once, (*K, B, S, L) -> (*K, B, S, *shape)."""
        return torch.unflatten(self(z.flatten(-3, -2)), z.dim() - 3, z.shape[-3:-1])

    def log_prob(self, z: Tensor, target: Tensor, lengths: Tensor | None = None) -> Tensor:
        """By the likelihood, without its weight, of a target given each of its draws: (*K, B, S).

        Args:
            z: (*K, B, S, L), several latent vectors in a row.
            target: (*K, B, *shape).
            lengths: (*K, B), of texts: positions beyond it do not count, if the likelihood ignores padding.
        """
        each = self.likelihood.log_prob(self.draws(z), target.unsqueeze(z.dim() - 2))
        if lengths is not None and isinstance(self.likelihood, Categorical) and self.likelihood.padding == "ignored":
            each = torch.where(within(lengths, each.shape[-1]).unsqueeze(-2), each, 0.0)
        return each.flatten(z.dim() - 1).sum(-1)

    def squared(self, values: Tensor) -> Tensor:
        """The sum of squares of each sample, (*K, B, *shape) -> (*K, B)."""
        return values.square().flatten(-self.dims).sum(-1)


class Raw(nn.Module):
    """What a prior's scale is made of, the same for all samples: (*K, B, L) of anything -> as many, zeros at first."""

    client_axis = True

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(latent))

    def forward(self, like: Tensor) -> Tensor:
        """Each row gets the same numbers."""
        return self.raw.unsqueeze(-2).expand_as(like)


class MeanEncoder(VaeEncoder):
    """A sequence is replaced by the mean of its valid steps, and decoded as a sequence of one step."""

    def target(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(*K, B, T, D) -> (*K, B, 1, D)."""
        if lengths is None:
            return x.mean(-2, keepdim=True)
        inside = torch.where(within(lengths, x.shape[-2]).unsqueeze(-1), x, 0.0)
        return inside.sum(-2, keepdim=True) / lengths.clamp(min=1)[..., None, None]


class SpectrogramEncoder(VaeEncoder):
    """Valid frames are resampled to a fixed number, which the decoder gives back: (*K, B, frames, D)."""

    def __init__(self, net: nn.Module, width: int, latent: int, frames: int) -> None:
        super().__init__(net, width, latent)
        self.frames = frames

    def target(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(*K, B, T, D) -> (*K, B, frames, D), linear between the nearest valid steps."""
        last = x.new_full(x.shape[:-2], x.shape[-2] - 1) if lengths is None else lengths.clamp(min=1).to(x) - 1
        middle = torch.arange(self.frames, device=x.device, dtype=x.dtype) + 0.5
        at = (middle * (last + 1).unsqueeze(-1) / self.frames - 0.5).clamp(min=0)
        at = torch.minimum(at, last.unsqueeze(-1))
        below = at.floor()
        above = torch.minimum(below + 1, last.unsqueeze(-1))
        return torch.lerp(_steps_at(x, below), _steps_at(x, above), (at - below).unsqueeze(-1))


def vae(
    modality: Modality, encoder: str, latent: int = 64, hidden: int = 512, channels: Sequence[int] = (32, 64, 128)
) -> tuple[VaeEncoder, VaeDecoder]:
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
        return _spectrogram(bands, max(11, min(FRAMES, (steps - 3) // 4 * 4 + 3)), latent)
    inputs = modality.shape[-1]
    down = _swish(inputs, hidden, hidden)
    up = nn.Sequential(_swish(latent, hidden, hidden, hidden), Linear(hidden, inputs))
    if modality.kind == "vector":
        return VaeEncoder(down, hidden, latent), VaeDecoder(up)
    flat, step = nn.Sequential(Flatten(2), down), nn.Sequential(up, Unflatten(1, inputs))
    return MeanEncoder(flat, hidden, latent), VaeDecoder(step, dims=2, steps=1)


def load_weights(path: str, nets: Mapping[str, nn.Module]) -> None:
    """Copies tensors called `<group>/<name in the group's state_dict>` from a safetensors file into the networks.

    The file may hold other groups besides.

    Raises:
        ValueError: it cannot be read, or a group's tensors are not those of its network; one line with the way out.
    """
    try:
        found = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read ({error}); write it with safetensors.torch.save_file") from error
    wanted = {f"{group}/{name}": tensor for group, net in nets.items() for name, tensor in net.state_dict().items()}
    for name, tensor in wanted.items():
        if name not in found:
            raise ValueError(f"{path} has no tensor '{name}' of shape {tuple(tensor.shape)}; add it")
        if found[name].shape != tensor.shape:
            shapes = f"{tuple(found[name].shape)}, the network's {tuple(tensor.shape)}"
            raise ValueError(f"{path}: the shape of '{name}' is {shapes}; make the options those of the saved network")
    for name in sorted(found.keys() - wanted.keys()):
        if name.partition("/")[0] in nets:
            raise ValueError(f"{path} has a tensor '{name}' that the network lacks; remove it")
    for name, tensor in wanted.items():
        tensor.copy_(found[name])


def _swish(*widths: int) -> nn.Sequential:
    return nn.Sequential(*(part for pair in pairwise(widths) for part in (Linear(*pair), nn.SiLU())))


def _spectrogram(bands: int, frames: int, latent: int) -> tuple[VaeEncoder, VaeDecoder]:
    """`frames` must be 4 k + 3: only then do two transposed convolutions invert two convolutions of stride 2."""
    length, width = (frames - 3) // 4, SPECTROGRAM_WIDTH
    down = nn.Sequential(
        _Transpose(),
        *(Conv1d(bands, 32, 1), GroupNorm(32, 1), nn.Tanh()),
        *(Conv1d(32, 16, 3, stride=2), GroupNorm(16, 1), nn.Tanh()),
        *(Conv1d(16, 8, 3, stride=2), GroupNorm(8, 1), nn.Tanh()),
        Flatten(2),
        *(Linear(8 * length, width), LayerNorm(width), nn.Tanh()),
    )
    up = nn.Sequential(
        *(Linear(latent, width), LayerNorm(width), nn.Tanh()),
        *(Linear(width, 8 * length), LayerNorm(8 * length), nn.Tanh()),
        Unflatten(8, length),
        *(ConvTranspose1d(8, 16, 3, stride=2), GroupNorm(16, 1), nn.Tanh()),
        *(ConvTranspose1d(16, 32, 3, stride=2), GroupNorm(32, 1), nn.Tanh()),
        Conv1d(32, bands, 1),
        _Transpose(),
    )
    return SpectrogramEncoder(down, width, latent, frames), VaeDecoder(up, dims=2, steps=frames)


def _image(shape: tuple[int, ...], latent: int, widths: Sequence[int]) -> tuple[VaeEncoder, VaeDecoder]:
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
    encoder = VaeEncoder(nn.Sequential(*down, Flatten(3)), features, latent)
    return encoder, VaeDecoder(nn.Sequential(*up), dims=3)


class _Transpose(nn.Module):
    """(..., T, D) <-> (..., D, T)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mT


def _steps_at(x: Tensor, at: Tensor) -> Tensor:
    """The steps `at` (*K, B, F), whole numbers, of x (*K, B, T, D): (*K, B, F, D)."""
    index = at.long().unsqueeze(-1)
    return x.gather(-2, index.expand(*index.shape[:-1], x.shape[-1]))
