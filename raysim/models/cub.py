"""The autoencoder of token ids: that of MMVAE+ for the captions of CUB.

A text is a picture of one channel, with a row for each position and 128 columns, the numbers of its words. The layout
is that of epalu/mmvaeplus, with group norm in the place of batch norm, and as many parameters. A branch is for what
modalities share, another one for what is private, in both halves; a model without private numbers has no such branch.
Texts are padded to the next multiple of 8 positions, 32 there.

Shapes: K clients (may be absent), B batch, T positions, V words, L shared and W private latent numbers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raysim.data.dataset import Modality
from raysim.models.convolution import Conv2d, ConvTranspose2d
from raysim.models.encoder import within
from raysim.models.layers import Flatten, GroupNorm, Linear, Unflatten, look_up
from raysim.models.vae import VaeDecoder, VaeEncoder

COLUMNS = 128
"""Numbers of a word."""
SIDE = 4
"""Columns that are left in the end."""
HALVED = 4, 2, 1
NARROWED = (1, 4), (1, 2), (0, 1)
"""Kernel, stride and padding of convolutions that halve both sides, or the columns alone."""


class Words(Linear):
    """Words (*K, ..., T) -> (*K, ..., T, outputs): a linear layer of their one-hot vectors, looked up."""

    def forward(self, input: Tensor) -> Tensor:
        """See `look_up`."""
        return look_up(input, self.weight.mT + self.bias.unsqueeze(-2))


class SentenceEncoder(VaeEncoder):
    """The posterior of what is shared. It owns the table of words, which the private branch reads, too."""

    def __init__(self, words: Words, net: nn.Module, width: int, latent: int, *, positions: int, pad: int) -> None:
        super().__init__(net, width, latent)
        self.words, self.positions, self.pad = words, positions, pad

    def target(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(*K, B, T) -> (*K, B, positions), with the padding's id after the end."""
        x = F.pad(x, (0, self.positions - x.shape[-1]), value=self.pad)
        return x if lengths is None else torch.where(within(lengths, self.positions), x, self.pad)

    def embedded(self, target: Tensor) -> Tensor:
        """(*K, B, T) -> (*K, B, 1, T, 128)."""
        return self.words(target).unsqueeze(-3)

    def forward(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, (*K, B, L) each, of words (*K, B, T)."""
        return super().forward(self.embedded(target))


class SentenceDecoder(VaeDecoder):
    """A latent vector [z; w] (*K, B, L + W) -> logits of words (*K, B, T, V)."""

    def __init__(self, branches: nn.Module, joint: nn.Module, vocabulary: int) -> None:
        super().__init__(nn.Sequential(branches, joint, Linear(COLUMNS, vocabulary)), dims=2)
        self.vocabulary = vocabulary

    def expected(self, target: Tensor) -> Tensor:
        """(*K, B, T) -> (*K, B, T, V)."""
        return F.one_hot(target, self.vocabulary).to(torch.get_default_dtype())


class Branches(nn.Module):
    """[z; w] (*K, B, L + W) -> what both become, as channels: (*K, B, C, T / 8, 16)."""

    def __init__(self, latent: int, shared: nn.Module, private: nn.Module | None) -> None:
        super().__init__()
        self.latent, self.shared, self.private = latent, shared, private

    def forward(self, z: Tensor) -> Tensor:
        """Without a private branch all of it is z."""
        if self.private is None:
            return self.shared(z)
        return torch.cat([self.shared(z[..., : self.latent]), self.private(z[..., self.latent :])], dim=-3)


def sentence_vae(
    modality: Modality, latent: int, private: int = 0, width: int = 32
) -> tuple[SentenceEncoder, SentenceDecoder]:
    """The autoencoder of a text: of the encoder's branches that of what is shared, and the whole decoder.

    Args:
        modality: what is generated.
        latent: width of the shared latent space.
        private: width of the private one, for the decoder.
        width: channels of the first convolution.

    Raises:
        ValueError: the size of the vocabulary is unknown.
    """
    if modality.vocabulary is None:
        raise ValueError("the autoencoder of texts needs the size of the vocabulary; set it on the modality")
    rows = _rows(modality)
    pad = 0 if modality.codec is None else modality.codec.pad
    words = Words(modality.vocabulary, COLUMNS)
    down = nn.Sequential(
        *_halvings(width),
        *_normed(Conv2d(4 * width, 8 * width, *NARROWED), 8 * width),
        *_normed(Conv2d(8 * width, 16 * width, *NARROWED), 16 * width),
        Flatten(3),
    )
    encoder = SentenceEncoder(words, down, 16 * width * rows * SIDE, latent, positions=8 * rows, pad=pad)
    branches = Branches(
        latent, _branch(latent, width, rows, deep=True), _branch(private, width, rows) if private else None
    )
    joined = (8 if private else 4) * width
    joint = nn.Sequential(
        *_normed(Conv2d(joined, 4 * width, 3, padding=1), 4 * width),
        *_normed(ConvTranspose2d(4 * width, 2 * width, *HALVED), 2 * width),
        *_normed(ConvTranspose2d(2 * width, width, *HALVED), width),
        *(ConvTranspose2d(width, 1, *HALVED), nn.ReLU(), Squeeze()),
    )
    return encoder, SentenceDecoder(branches, joint, modality.vocabulary)


def private_encoder(modality: Modality, latent: int, width: int = 32) -> VaeEncoder:
    """The encoder's branch of what is private, of words that `SentenceEncoder.embedded` has looked up."""
    return VaeEncoder(nn.Sequential(*_halvings(width), Flatten(3)), 4 * width * _rows(modality) * COLUMNS // 8, latent)


class Squeeze(nn.Module):
    """(..., 1, T, W) -> (..., T, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """The only channel."""
        return x.squeeze(-3)


def _rows(modality: Modality) -> int:
    """Of a text that was halved three times."""
    return -(-modality.shape[0] // 8)


def _normed(layer: nn.Module, channels: int) -> tuple[nn.Module, ...]:
    return layer, GroupNorm(channels, 2), nn.ReLU()


def _halvings(width: int) -> tuple[nn.Module, ...]:
    """(1, T, 128) -> (4 width, T / 8, 16)."""
    return (
        *_normed(Conv2d(1, width, *HALVED), width),
        *_normed(Conv2d(width, 2 * width, *HALVED), 2 * width),
        *_normed(Conv2d(2 * width, 4 * width, *HALVED), 4 * width),
    )


def _branch(latent: int, width: int, rows: int, *, deep: bool = False) -> nn.Sequential:
    """A latent vector -> (4 width, T / 8, 16), with one convolution more where it is `deep`."""
    return nn.Sequential(
        Unflatten(latent, 1, 1),
        *_normed(ConvTranspose2d(latent, 16 * width, (rows, SIDE)), 16 * width),
        *_normed(ConvTranspose2d(16 * width, 8 * width, *NARROWED), 8 * width),
        *(_normed(Conv2d(8 * width, 8 * width, 3, padding=1), 8 * width) if deep else ()),
        *_normed(ConvTranspose2d(8 * width, 4 * width, *NARROWED), 4 * width),
    )
