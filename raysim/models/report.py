"""A generator that writes a text about an image: R2Gen's transformer with a relational memory.

Source: Chen et al., "Generating Radiology Reports via Memory-driven Transformer", 2020, with the sizes and details of
its published code. Layer norms and initial values are torch's.

A text is a row of indices: token i of the data is i + 1, and 0 begins, ends and pads. So nothing need be known of the
data's own marks, which are written like words.

Shapes: K clients (may be absent), B batch, P patches of an image, T words, S memory slots, D features, V indices.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raysim.data.dataset import Modality
from raysim.models.beam import State, search
from raysim.models.convolution import Conv2d, MaxPool2d
from raysim.models.encoders import BUILDERS
from raysim.models.layers import Dropout, Embedding, LayerNorm, Linear
from raysim.models.pretrained import Resnet50
from raysim.models.transformer import MultiheadAttention
from raysim.scenario.model import Encoder as Spec
from raysim.scenario.model import Model


class CnnPatches(nn.Module):
    """The task model's small CNN up to its last convolution: one patch a position."""

    def __init__(self, modality: Modality, channels: tuple[int, ...], dim: int) -> None:
        super().__init__()
        inputs, height, width = modality.shape
        if min(height, width) >> len(channels) == 0:
            raise ValueError(f"{len(channels)} halvings leave nothing of {height} x {width} pixels; use fewer channels")
        parts: list[nn.Module] = []
        for before, after in pairwise((inputs, *channels)):
            parts += [Conv2d(before, after, 3, padding=1), MaxPool2d(2), nn.ReLU()]
        self.net = nn.Sequential(*parts)
        self.project = Linear(channels[-1], dim)

    def forward(self, x: Tensor) -> Tensor:
        """(*K, B, C, height, width) -> (*K, B, P, dim)."""
        return self.project(self.net(x).flatten(-2).mT)


class ResnetPatches(nn.Module):
    """ResNet-50 without its pooling: a patch for every 32 x 32 pixels."""

    def __init__(self, modality: Modality, spec: Spec, dim: int) -> None:
        super().__init__()
        self.encoder = Resnet50(modality, spec, Model(dim=dim))
        self.encoder.net.avgpool = nn.Identity()
        self.encoder.net = nn.Sequential(self.encoder.net, Patches(2048))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, height, width) -> (B, P, dim)."""
        return self.encoder.tokens(x, None).squeeze(-2)


class Patches(nn.Module):
    """What a convolution left, flattened, by position: (B, channels * P) -> (B, P, channels)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Positions become tokens."""
        return torch.unflatten(x, -1, (self.channels, -1)).mT


def build_trunk(modality: Modality, spec: Spec, dim: int) -> nn.Module:
    """(*K, B, C, height, width) -> patches (*K, B, P, dim), by `resnet50` (without a client axis) or `cnn`.

    Raises:
        ValueError: the images do not suit it.
    """
    if spec.freeze:
        raise ValueError("the trunk is trained with the writer; remove its freeze")
    if spec.name == "resnet50":
        return ResnetPatches(modality, spec, dim)
    return CnnPatches(modality, spec.channels or BUILDERS["cnn"][1], dim)


class RelationalMemory(nn.Module):
    """Slots that take up one word after another by attention, through gates."""

    def __init__(self, dim: int, heads: int, slots: int, dropout: float) -> None:
        super().__init__()
        self.slots = slots
        self.attention = MultiheadAttention(dim, heads, dropout)
        self.mlp = nn.Sequential(Linear(dim, dim), nn.ReLU(), Linear(dim, dim), nn.ReLU())
        self.word_gates, self.memory_gates = Linear(dim, 2 * dim), Linear(dim, 2 * dim)

    def first(self, like: Tensor) -> Tensor:
        """The memory before any word, rows of the identity, for rows like (*K, B, ., D): (*K, B, S, D)."""
        rows = torch.eye(self.slots, like.shape[-1], dtype=like.dtype, device=like.device)
        return rows.expand(*like.shape[:-2], *rows.shape)

    def step(self, word: Tensor, memory: Tensor) -> Tensor:
        """Word (*K, B, D) and memory (*K, B, S, D) -> the new memory."""
        word = word.unsqueeze(-2)
        found = memory + self.attention(memory, torch.cat([memory, word], -2))
        found = found + self.mlp(found)
        gates = torch.sigmoid(self.word_gates(word) + self.memory_gates(torch.tanh(memory)))
        new, old = gates.chunk(2, -1)
        return new * torch.tanh(found) + old * memory

    def forward(self, words: Tensor, memory: Tensor) -> Tensor:
        """Words (*K, B, T, D) and the memory before them -> the memory after each, (*K, B, T, S, D)."""
        states: list[Tensor] = []
        for word in words.unbind(-2):
            memory = self.step(word, memory)
            states.append(memory)
        return torch.stack(states, -3)


class ConditionalNorm(nn.Module):
    """Layer norm whose scale and shift are moved by the memory."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.norm = LayerNorm(dim)
        self.scale, self.shift = (
            nn.Sequential(Linear(width, dim), nn.ReLU(), Linear(dim, dim)) for _ in ("scale", "shift")
        )

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """X (*K, B, T, D) with the memory after each word (*K, B, T, S D)."""
        plain = F.layer_norm(x, x.shape[-1:])
        return self.norm(x) + self.scale(memory) * plain + self.shift(memory)


def feed_forward(dim: int, hidden: int, dropout: float) -> nn.Module:
    """Linear, ReLU, dropout, linear."""
    return nn.Sequential(Linear(dim, hidden), nn.ReLU(), Dropout(dropout), Linear(hidden, dim))


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each after a norm and added."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = MultiheadAttention(dim, heads, dropout)
        self.feed_forward = feed_forward(dim, hidden, dropout)
        self.norm1, self.norm2 = LayerNorm(dim), LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(*K, B, P, D) -> (*K, B, P, D)."""
        normed = self.norm1(x)
        x = x + self.dropout(self.attention(normed, normed))
        return x + self.dropout(self.feed_forward(self.norm2(x)))


class MemoryDecoderLayer(nn.Module):
    """Attention to earlier words and to the image, and a feed-forward network, after norms that the memory moves."""

    def __init__(self, dim: int, heads: int, hidden: int, slots: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = MultiheadAttention(dim, heads, dropout)
        self.image_attention = MultiheadAttention(dim, heads, dropout)
        self.feed_forward = feed_forward(dim, hidden, dropout)
        self.norm1, self.norm2, self.norm3 = (ConditionalNorm(dim, slots * dim) for _ in range(3))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, before: Tensor, image: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Goes on with words.

        Args:
            x: (*K, B, T, D) the new words.
            before: (*K, B, T', D) what the layer made of the words before them.
            image: (*K, B, P, D).
            memory: (*K, B, T, S D) after each new word.

        Returns:
            (*K, B, T, D), and `before` with the new words, (*K, B, T' + T, D).
        """
        normed = self.norm1(x, memory)
        words = torch.cat([before, normed], -2)
        steps, total = x.shape[-2], words.shape[-2]
        earlier = torch.ones(steps, total, dtype=torch.bool, device=x.device).tril(total - steps)
        x = x + self.dropout(self.self_attention(normed, words, earlier))
        x = x + self.dropout(self.image_attention(self.norm2(x, memory), image))
        return x + self.dropout(self.feed_forward(self.norm3(x, memory))), words


class Writer(nn.Module):
    """A transformer from an image's patches to words.

    Args:
        source: the modality that it reads.
        target: the modality that it writes.
        longest: the most tokens that it writes.
        vocabulary: how many different tokens the data has.
    """

    def __init__(
        self, source: str, target: str, longest: int, vocabulary: int, *,
        dim: int = 512, hidden: int = 512, heads: int = 8, layers: int = 3, slots: int = 3, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.source, self.target, self.longest = source, target, longest
        self.table = Embedding(vocabulary + 1, dim)
        nn.init.normal_(self.table.weight, std=dim**-0.5)
        self.patches = nn.Sequential(nn.ReLU(), Dropout(0.5))
        self.encoder = nn.ModuleList(EncoderLayer(dim, heads, hidden, dropout) for _ in range(layers))
        self.encoder_norm = LayerNorm(dim)
        self.memory = RelationalMemory(dim, heads, slots, dropout)
        self.decoder = nn.ModuleList(MemoryDecoderLayer(dim, heads, hidden, slots, dropout) for _ in range(layers))
        self.decoder_norm = LayerNorm(dim)
        self.head = Linear(dim, vocabulary + 1)
        self.dropout = Dropout(dropout)

    def forward(self, patches: Tensor, words: Tensor) -> Tensor:
        """Patches (*K, B, P, D) and words (*K, B, T) -> logits (*K, B, T, V) of what follows each word."""
        image = self.seen(patches)
        return self.follow(image, words, self.start(image))[0]

    def seen(self, patches: Tensor) -> Tensor:
        """What the encoder makes of an image's patches, (*K, B, P, D)."""
        x = self.patches(patches)
        for layer in self.encoder:
            x = layer(x)
        return self.encoder_norm(x)

    def start(self, image: Tensor) -> State:
        """The state before any word."""
        return (self.memory.first(image), *[image[..., :0, :]] * len(self.decoder))

    def follow(self, image: Tensor, words: Tensor, state: State) -> tuple[Tensor, State]:
        """See `Follow`."""
        dim, begun = image.shape[-1], state[-1].shape[-2]
        numbers = torch.arange(begun, begun + words.shape[-1], device=words.device)
        x = self.dropout(self.table(words) * math.sqrt(dim) + positions(numbers, dim))
        memories = self.memory(x, state[0])
        each, layers = memories.flatten(-2), list[Tensor]()
        for layer, before in zip(self.decoder, state[1:], strict=True):
            x, known = layer(x, before, image, each)
            layers.append(known)
        return self.head(self.decoder_norm(x)), (memories[..., -1, :, :], *layers)

    def losses(self, patches: Tensor, text: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of each next word given the true ones before it.

        Args:
            patches: (*K, B, P, D).
            text: (*K, B, T) tokens of the data; those beyond `longest` are left out.
            lengths: (*K, B).

        Returns:
            (*K, B): the sum over words and the end, and how many these are.
        """
        words = text[..., : self.longest] + 1
        ends = lengths.clamp(max=words.shape[-1])[..., None]
        steps = torch.arange(words.shape[-1] + 1, device=words.device)
        wanted = torch.where(steps < ends, F.pad(words, (0, 1)), 0)
        logits = self(patches, F.pad(words, (1, 0)))
        each = F.cross_entropy(logits.flatten(0, -2), wanted.flatten(), reduction="none").view_as(wanted)
        return torch.where(steps <= ends, each, 0.0).sum(-1), ends[..., 0] + 1

    @torch.no_grad()
    def write(self, patches: Tensor, beam: int, *, trigrams: bool) -> tuple[Tensor, Tensor]:
        """The likeliest text that `search` finds: tokens (*K, B, longest), zeros after the end, and lengths (*K, B)."""
        image = self.seen(patches)
        state, wide = self.start(image), image.repeat_interleave(beam, -3)
        words = search(lambda w, s: self.follow(wide, w, s), state, self.longest, beam, trigrams=trigrams)
        return (words - 1).clamp(min=0), (words > 0).sum(-1)


def positions(numbers: Tensor, dim: int) -> Tensor:
    """Sines and cosines in turn that tell positions (T,) apart (Vaswani et al. 2017): (T, dim)."""
    rates = torch.exp(torch.arange(0, dim, 2, device=numbers.device) * (-math.log(10_000.0) / dim))
    angles = numbers[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[:, :dim]
