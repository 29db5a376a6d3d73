"""The encoders that take a client axis, and which encoder suits which kind of modality.

Shapes: K clients (may be absent), B batch, T steps, C channels, D features.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from raysim.data.dataset import Kind, Modality
from raysim.models.convolution import Conv1d, Conv2d, MaxPool1d, MaxPool2d
from raysim.models.encoder import Encoder, within
from raysim.models.layers import Dropout, Embedding, Flatten, Linear
from raysim.models.recurrent import GRU
from raysim.scenario.model import Encoder as Spec
from raysim.scenario.model import Model

DEFAULTS: dict[Kind, str] = {"image": "cnn", "sequence": "gru", "vector": "mlp", "tokens": "embedding_gru"}
NEEDS: dict[str, Kind] = {
    "cnn": "image", "conv_gru": "sequence", "gru": "sequence", "mlp": "vector", "embedding_gru": "tokens",
    "resnet50": "image", "bert": "tokens",
}  # fmt: skip


class Cnn(Encoder):
    """Convolutions of 3 x 3 with ReLU, each halving the image, then a linear layer: one token."""

    def __init__(self, modality: Modality, channels: tuple[int, ...], model: Model) -> None:
        super().__init__(model)
        inputs, height, width = modality.shape
        parts: list[nn.Module] = []
        for outputs in channels:
            parts += [Conv2d(inputs, outputs, 3, padding=1), MaxPool2d(2), nn.ReLU()]  # ReLU commutes, on a quarter
            inputs, height, width = outputs, height // 2, width // 2
        if height * width == 0:
            raise ValueError(
                f"encoder 'cnn' halves the image {len(channels)} times, so {modality.shape[1]} x {modality.shape[2]} "
                "pixels leave nothing; use fewer channels"
            )
        self.net = nn.Sequential(*parts, Flatten(3), Linear(inputs * height * width, model.dim))

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(*K, B, C, height, width) -> (*K, B, 1, dim)."""
        return self.net(x).unsqueeze(-2)


class Mlp(Encoder):
    """Linear, ReLU, dropout, linear: one token (FedMultimodal's image branch)."""

    def __init__(self, modality: Modality, _channels: tuple[int, ...], model: Model) -> None:
        super().__init__(model)
        inputs = modality.shape[-1]
        self.net = nn.Sequential(
            Linear(inputs, model.dim), nn.ReLU(), Dropout(model.dropout), Linear(model.dim, model.dim)
        )

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(*K, B, D) -> (*K, B, 1, dim)."""
        return self.net(x).unsqueeze(-2)


class Gru(Encoder):
    """A recurrent layer: one token a step."""

    def __init__(self, modality: Modality, _channels: tuple[int, ...], model: Model) -> None:
        super().__init__(model)
        self.gru = GRU(modality.shape[-1], model.dim)

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(*K, B, T, D) -> (*K, B, T, dim). Steps after the end come later, so they change no valid token."""
        return self.gru(x)


class EmbeddingGru(Encoder):
    """A table of token embeddings, then a recurrent layer: one token a step."""

    def __init__(self, modality: Modality, _channels: tuple[int, ...], model: Model) -> None:
        super().__init__(model)
        if modality.vocabulary is None:
            raise ValueError("encoder 'embedding_gru' needs the size of the vocabulary; set it on the modality")
        self.embedding = Embedding(modality.vocabulary, model.dim)
        self.gru = GRU(model.dim, model.dim)

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(*K, B, T) integers -> (*K, B, T, dim)."""
        return self.gru(self.embedding(x))


class ConvGru(Encoder):
    """Convolutions of width 5 with ReLU, halving and dropout, then a recurrent layer (FedMultimodal's audio branch).

    Steps after a sample's end are zeroed before each convolution, so padding a batch changes nothing.
    """

    def __init__(self, modality: Modality, channels: tuple[int, ...], model: Model) -> None:
        super().__init__(model)
        self.downsampling = 2 ** len(channels)
        steps, inputs = modality.shape
        if steps < self.downsampling:
            raise ValueError(
                f"encoder 'conv_gru' halves the steps {len(channels)} times, so it needs {self.downsampling} or more, "
                f"not {steps}; use 'gru' or fewer channels"
            )
        self.blocks = nn.ModuleList(
            nn.Sequential(Conv1d(before, after, 5, padding=2), MaxPool1d(2), nn.ReLU(), Dropout(model.dropout))
            for before, after in zip((inputs, *channels[:-1]), channels, strict=True)
        )
        self.gru = GRU(channels[-1], model.dim)

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(*K, B, T, D) -> (*K, B, T // downsampling, dim)."""
        x = x.mT
        for i, block in enumerate(self.blocks):
            if lengths is not None:
                x = torch.where(within(lengths // 2**i, x.shape[-1]).unsqueeze(-2), x, 0.0)
            x = block(x)
        return self.gru(x.mT)


BUILDERS: dict[str, tuple[Callable[[Modality, tuple[int, ...], Model], Encoder], tuple[int, ...]]] = {
    "cnn": (Cnn, (16, 32)),
    "conv_gru": (ConvGru, (32, 64, 128)),
    "gru": (Gru, ()),
    "mlp": (Mlp, ()),
    "embedding_gru": (EmbeddingGru, ()),
}
"""Name -> class and default channels; no channels where it has no convolution."""


def encoder_name(kind: Kind, spec: Spec | None) -> str:
    """The encoder that a spec asks for; `auto` and None are resolved by the modality's kind."""
    return DEFAULTS[kind] if spec is None or spec.name == "auto" else spec.name


def check_encoder(name: str, kind: Kind, model: Model) -> None:
    """Whether what the model says of a modality fits it.

    Raises:
        ValueError: it does not; one line with the way out.
    """
    spec = model.encoders.get(name, Spec())
    chosen = encoder_name(kind, spec)
    if NEEDS[chosen] != kind:
        raise ValueError(f"encoder '{chosen}' is for {NEEDS[chosen]}, '{name}' is {kind}; use '{DEFAULTS[kind]}'")
    if spec.channels is not None and not BUILDERS.get(chosen, (None, ()))[1]:
        raise ValueError(f"encoder '{chosen}' of '{name}' has no convolution; remove its channels")
    if spec.weights is not None and chosen in BUILDERS:
        raise ValueError(f"encoder '{chosen}' of '{name}' has no published weights; remove its weights")


def build_encoder(name: str, modality: Modality, model: Model) -> Encoder:
    """The encoder of the modality called `name`.

    Raises:
        ValueError: the model's spec does not fit the modality, or its arrays are too small.
    """
    check_encoder(name, modality.kind, model)
    spec = model.encoders.get(name, Spec())
    chosen = encoder_name(modality.kind, spec)
    if chosen not in BUILDERS:
        from raysim.models.pretrained import BUILDERS as PRETRAINED  # needs other libraries

        return PRETRAINED[chosen](modality, spec, model)
    build, channels = BUILDERS[chosen]
    return build(modality, spec.channels or channels, model)
