"""The listed encoders that take a client axis, and which encoder suits which kind of modality.

Shapes: K clients (may be absent), B batch, T steps, C channels, D features.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from raysim.data.dataset import Kind, Modality
from raysim.models.convolution import Conv1d, Conv2d, MaxPool1d, MaxPool2d
from raysim.models.encoder import Encoder, within
from raysim.models.layers import Dropout, Embedding, Flatten, Linear
from raysim.models.own import own_encoder
from raysim.models.recurrent import GRU
from raysim.models.whole import WholeEncoder, build_whole, check_whole, try_whole
from raysim.scenario.model import Encoder as Spec
from raysim.scenario.model import Model, OwnEncoder, Whole

DEFAULTS: dict[Kind, str] = {"image": "cnn", "sequence": "gru", "vector": "mlp", "tokens": "embedding_gru"}
NEEDS: dict[str, Kind] = {
    "cnn": "image", "conv_gru": "sequence", "gru": "sequence", "mlp": "vector", "embedding_gru": "tokens",
    "resnet50": "image", "bert": "tokens",
}  # fmt: skip


Widths = tuple[int, ...]


def dense(*widths: int, dropout: float) -> list[nn.Module]:
    """Linear layers, with ReLU and dropout between each two."""
    first, *others = [Linear(*pair) for pair in pairwise(widths)]
    return [first, *(part for layer in others for part in (nn.ReLU(), Dropout(dropout), layer))]


def recurrent(*widths: int) -> nn.Module:
    """Recurrent layers, one after another: (*K, B, T, first width) -> (*K, B, T, last)."""
    layers = [GRU(*pair) for pair in pairwise(widths)]
    return nn.Sequential(*layers) if len(layers) > 1 else layers[0]


class Cnn(Encoder):
    """Convolutions of 3 x 3 with ReLU, each halving the image, then one or several linear layers: one token."""

    def __init__(self, modality: Modality, channels: Widths, hidden: Widths | None, model: Model) -> None:
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
        last = dense(inputs * height * width, *(hidden or ()), model.dim, dropout=model.dropout)
        self.net = nn.Sequential(*parts, Flatten(3), *last)

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(*K, B, C, height, width) -> (*K, B, 1, dim)."""
        return self.net(x).unsqueeze(-2)


class Mlp(Encoder):
    """Linear layers, with ReLU and dropout between them; two by default: one token (FedMultimodal's image branch)."""

    def __init__(self, modality: Modality, _channels: Widths, hidden: Widths | None, model: Model) -> None:
        super().__init__(model)
        inside = (model.dim,) if hidden is None else hidden
        self.net = nn.Sequential(*dense(modality.shape[-1], *inside, model.dim, dropout=model.dropout))

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(*K, B, D) -> (*K, B, 1, dim)."""
        return self.net(x).unsqueeze(-2)


class Gru(Encoder):
    """A recurrent layer, or several: one token a step."""

    def __init__(self, modality: Modality, _channels: Widths, hidden: Widths | None, model: Model) -> None:
        super().__init__(model)
        self.gru = recurrent(modality.shape[-1], *(hidden or ()), model.dim)

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(*K, B, T, D) -> (*K, B, T, dim). Steps after the end come later, so they change no valid token."""
        return self.gru(x)


class EmbeddingGru(Encoder):
    """A table of token embeddings, then a recurrent layer, or several: one token a step."""

    def __init__(self, modality: Modality, _channels: Widths, hidden: Widths | None, model: Model) -> None:
        super().__init__(model)
        if modality.vocabulary is None:
            raise ValueError("encoder 'embedding_gru' needs the size of the vocabulary; set it on the modality")
        self.embedding = Embedding(modality.vocabulary, model.dim)
        self.gru = recurrent(model.dim, *(hidden or ()), model.dim)

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(*K, B, T) integers -> (*K, B, T, dim)."""
        return self.gru(self.embedding(x))


class ConvGru(Encoder):
    """Convolutions of width 5 with ReLU, halving and dropout, then a recurrent layer (FedMultimodal's audio branch).

    Steps after a sample's end are zeroed before each convolution, so padding a batch changes nothing.
    """

    def __init__(self, modality: Modality, channels: Widths, hidden: Widths | None, model: Model) -> None:
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
        self.gru = recurrent(channels[-1], *(hidden or ()), model.dim)

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(*K, B, T, D) -> (*K, B, T // downsampling, dim)."""
        x = x.mT
        for i, block in enumerate(self.blocks):
            if lengths is not None:
                x = torch.where(within(lengths // 2**i, x.shape[-1]).unsqueeze(-2), x, 0.0)
            x = block(x)
        return self.gru(x.mT)


BUILDERS: dict[str, tuple[Callable[[Modality, Widths, Widths | None, Model], Encoder], Widths]] = {
    "cnn": (Cnn, (16, 32)),
    "conv_gru": (ConvGru, (32, 64, 128)),
    "gru": (Gru, ()),
    "mlp": (Mlp, ()),
    "embedding_gru": (EmbeddingGru, ()),
}
"""Name -> class and default channels; no channels where it has no convolution."""


def encoder_name(kind: Kind, spec: Spec | Whole | OwnEncoder | None) -> str:
    """The encoder that a spec asks for; `auto` and None are resolved by the modality's kind."""
    return DEFAULTS[kind] if spec is None or spec.name == "auto" else spec.name


def check_encoder(name: str, kind: Kind, model: Model) -> None:
    """Whether what the model says of a modality fits it.

    Raises:
        ValueError: it does not; one line with the way out.
    """
    spec = model.encoders.get(name, Spec())
    if isinstance(spec, OwnEncoder):
        return
    if isinstance(spec, Whole):
        check_whole(name, kind, spec)
        return
    chosen = encoder_name(kind, spec)
    if NEEDS[chosen] != kind:
        raise ValueError(f"encoder '{chosen}' is for {NEEDS[chosen]}, '{name}' is {kind}; use '{DEFAULTS[kind]}'")
    if spec.channels is not None and not BUILDERS.get(chosen, (None, ()))[1]:
        raise ValueError(f"encoder '{chosen}' of '{name}' has no convolution; remove its channels")
    if spec.hidden is not None and chosen not in BUILDERS:
        raise ValueError(f"encoder '{chosen}' of '{name}' has its own layers; remove its hidden")
    if spec.weights is not None and chosen in BUILDERS:
        raise ValueError(f"encoder '{chosen}' of '{name}' has no published weights; remove its weights")


_checked: set[tuple[Modality, int, str]] = set()
"""Whole networks that were built and did well: the trials of a study have few different ones."""


def check_built(name: str, modality: Modality, model: Model) -> None:
    """Whether globs of what is frozen name tensors of the encoder, and a whole network reads the samples.

    Neither is asked of resnet50 and bert, which are large.

    Raises:
        ValueError: one names none, or the encoder cannot be built.
    """
    spec = model.encoders.get(name, Spec())
    listed = isinstance(spec, Spec) and encoder_name(modality.kind, spec) not in BUILDERS
    if isinstance(spec, Whole) or (isinstance(spec.freeze, tuple) and not listed):
        key = (modality, model.dim, spec.model_dump_json())
        if key in _checked:
            return
        with torch.random.fork_rng(devices=[]):
            encoder = build_encoder(name, modality, model)
        if isinstance(spec, Whole) and isinstance(encoder, WholeEncoder):
            try_whole(encoder, spec, modality)
            _checked.add(key)


def build_encoder(name: str, modality: Modality, model: Model) -> Encoder:
    """The encoder of the modality called `name`, with what is frozen of it.

    Raises:
        ValueError: the model's spec does not fit the modality, or its arrays are too small.
    """
    encoder, freeze = _built(name, modality, model), model.encoders.get(name, Spec()).freeze
    adapts = isinstance(encoder, WholeEncoder) and encoder.adapts
    globs = [*(freeze if isinstance(freeze, tuple) else ()), *(encoder.published if adapts or freeze is True else ())]
    return encoder.freeze(globs) if globs else encoder


def _built(name: str, modality: Modality, model: Model) -> Encoder:
    check_encoder(name, modality.kind, model)
    spec = model.encoders.get(name, Spec())
    if isinstance(spec, OwnEncoder):
        return own_encoder(name, spec, modality, model)
    if isinstance(spec, Whole):
        return build_whole(modality, spec, model)
    chosen = encoder_name(modality.kind, spec)
    if chosen not in BUILDERS:
        from raysim.models.pretrained import BUILDERS as PRETRAINED  # needs other libraries

        return PRETRAINED[chosen](modality, spec, model)
    build, channels = BUILDERS[chosen]
    return build(modality, spec.channels or channels, spec.hidden, model)
