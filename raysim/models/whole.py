"""Encoders that are whole networks of `transformers` or `torchvision`: trained, frozen in parts, or with adapters.

They take no client axis, so clients are trained one after another. A linear layer of raysim's follows each.

Shapes: B batch, C channels, T steps, D features.
"""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from raysim.data.dataset import Kind, Modality
from raysim.features import _language, _torchvision
from raysim.models.encoder import Encoder, parts, within
from raysim.models.layers import Linear
from raysim.models.lora import EXTRA, adapted, adapters, drop_out, merged
from raysim.models.own import SAMPLES, MisfitError, tried
from raysim.scenario.messages import near
from raysim.scenario.model import Model, Torchvision, Transformers, Whole
from raysim.seeding import derive

KINDS: dict[str, tuple[Kind, ...]] = {"transformers": ("tokens", "image"), "torchvision": ("image",)}
INPUTS: dict[str, Kind] = {"input_ids": "tokens", "pixel_values": "image"}
"""What networks of transformers call what they read."""
MIDDLE = 0.5
"""Mean and deviation of a channel where nothing is known of it."""


class WholeEncoder(Encoder):
    """A network (B, ...) -> (B, width), then a linear layer: one token. Names of its tensors are its library's own.

    With adapters all else of the network is frozen, and its dropout does not act, whatever is trained.
    """

    selective = True
    prefix = "net."

    def __init__(self, net: nn.Module, width: int, spec: Whole, model: Model) -> None:
        super().__init__(model)
        self.adapts = spec.lora is not None
        self.net = net if spec.lora is None else adapted(net, spec.lora)
        self.project = Linear(width, model.dim)
        trained = adapters(self.net)
        tensors = {**dict(self.net.named_parameters()), **dict(self.net.named_buffers())}
        self.published = tuple(n for n, t in tensors.items() if n not in trained and t.is_floating_point())

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, *shape) -> (B, 1, dim)."""
        return self.project(self.vectors(x, lengths)).unsqueeze(-2)

    def vectors(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, *shape) -> (B, width)."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Self:
        """Training mode, but for what never changes."""
        super().train(mode)
        if self.adapts:
            self.net.eval()
            drop_out(self.net, training=mode)
        return self

    def merged(self) -> dict[str, Tensor]:
        """The network's weights for use without raysim, by its library's names; adapters are added to them."""
        return merged(self.net)

    def described(self) -> dict[str, Any]:
        """What the spec has to say for a network of this kind to be built where its files are not."""
        raise NotImplementedError


class TransformersEncoder(WholeEncoder):
    """A network of Hugging Face's transformers: the first token's vector, or the mean over the valid ones."""

    def __init__(self, modality: Modality, spec: Transformers, model: Model) -> None:
        """Reads the weights.

        Raises:
            ValueError: they are not there, or do not suit the samples.
        """
        folder = None if spec.model is None else _language.folder_of(spec.model, spec.revision)
        net = _language.untrained(spec.config or {}) if folder is None else _language.network(folder)
        called = spec.model or f"config ({net.config.model_type})"
        reads = INPUTS.get(net.main_input_name)
        if reads != modality.kind:
            raise ValueError(f"{called} reads {net.main_input_name}, and the samples are of the kind {modality.kind}")
        if net.config.is_encoder_decoder:
            raise ValueError(f"{called} is made of an encoder and a decoder; name an encoder")
        if _parameters(getattr(net, "pooler", None)):
            net.pooler = None  # what it makes of the first token is not used
        if modality.kind == "tokens":
            _check_tokens(called, net, modality, folder)
        super().__init__(net, _width(called, net.config), spec, model)
        self.take, self.images, self._name = spec.take, modality.kind == "image", called
        said = _preprocessor(folder) if self.images else {}
        middle = (MIDDLE,) * getattr(net.config, "num_channels", 3)
        self.mean = tuple(spec.mean or said.get("image_mean", middle))
        self.deviation = tuple(spec.deviation or said.get("image_std", middle))

    def vectors(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Images (B, C, height, width) in [0, 1], or integers (B, T); what stands after the end changes nothing."""
        if self.images:
            found: Tensor = self.net(pixel_values=_normalised(x, self.mean, self.deviation)).last_hidden_state
            if found.dim() == 4:
                if self.take == "cls":
                    raise MisfitError(f"{self._name} has no first token; write take: mean")
                found = found.flatten(2).mT
            return found[:, 0] if self.take == "cls" else found.mean(-2)
        valid = torch.ones_like(x, dtype=torch.bool) if lengths is None else within(lengths, x.shape[-1])
        found = self.net(input_ids=x, attention_mask=valid.long()).last_hidden_state
        if self.take == "cls":
            return found[:, 0]
        return torch.where(valid[..., None], found, 0.0).sum(-2) / valid.sum(-1, keepdim=True)

    def described(self) -> dict[str, Any]:
        """See `WholeEncoder.described`."""
        config: Any = self.net.config
        said: dict[str, Any] = json.loads(config.to_json_string(use_diff=True))
        colours = {"mean": list(self.mean), "deviation": list(self.deviation)} if self.images else {}
        return {"model": None, "revision": None, "config": said, **colours}


class TorchvisionEncoder(WholeEncoder):
    """One of torchvision's classifiers without its last layer. Grey images become three equal channels."""

    def __init__(self, modality: Modality, spec: Torchvision, model: Model) -> None:
        """Reads the weights.

        Raises:
            ValueError: there is no such network, or they are not there or of another one.
        """
        if spec.model not in (names := _torchvision.classifiers()):
            raise ValueError(f"model: torchvision has no classifier '{spec.model}'; {near(spec.model, names)}")
        net = _torchvision.classifier(spec.model, spec.weights)
        path = [n for n, part in parts(net) if isinstance(part, nn.Linear | nn.Conv2d)][-1]
        width: Any = getattr(net.get_submodule(path), "in_features", None)
        if width is None:
            raise ValueError(
                f"model: '{spec.model}' ends in no linear layer, before which it could be cut; name another"
            )
        parent, _, child = path.rpartition(".")
        setattr(net.get_submodule(parent), child, nn.Identity())
        super().__init__(net, width, spec, model)

    def vectors(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, C, height, width) in [0, 1]."""
        return self.net(_normalised(x, _torchvision.MEAN, _torchvision.DEVIATION))

    def described(self) -> dict[str, Any]:
        """See `WholeEncoder.described`."""
        return {"weights": None}


def build_whole(modality: Modality, spec: Whole, model: Model) -> WholeEncoder:
    """The encoder that a spec asks for.

    Raises:
        ValueError: it cannot be built; one line.
    """
    if modality.kind == "image" and modality.shape[0] not in (1, 3):
        raise ValueError(f"'{spec.name}' takes images of 1 or 3 channels, not {modality.shape[0]}")
    build: Any = TransformersEncoder if isinstance(spec, Transformers) else TorchvisionEncoder
    return build(modality, spec, model)


def check_whole(name: str, kind: Kind, spec: Whole) -> None:
    """Whether a network of that library can read samples of that kind, and what it needs is installed.

    Raises:
        ValueError: one line with the way out.
    """
    if kind not in KINDS[spec.name]:
        raise ValueError(f"encoder '{spec.name}' is for {' and '.join(KINDS[spec.name])}, '{name}' is {kind}")
    if isinstance(spec, Transformers) and importlib.util.find_spec("transformers") is None:
        raise ValueError("encoder 'transformers' needs the package transformers; pip install 'raysim[text]'")
    if spec.lora is not None and importlib.util.find_spec("peft") is None:
        raise ValueError(f"lora of '{name}' needs the package peft; {EXTRA}")


def try_whole(encoder: WholeEncoder, spec: Whole, modality: Modality) -> None:
    """Has an encoder encode some samples, and learn from a single one: batch norms may not be able to.

    Raises:
        ValueError: it fails; one line.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(0, "trial run") % 2**63)
        lead = (SAMPLES, *modality.shape)
        x = torch.randint(modality.vocabulary or 1, lead) if modality.kind == "tokens" else torch.rand(lead)
        what = spec.model or spec.name
        tried(what, encoder, lambda: encoder(x), f"samples of the shape {modality.shape}")
        tried(what, encoder, lambda: encoder(x[:1]), f"sample of the shape {modality.shape}", count=1, training=True)


def _check_tokens(name: str, net: Any, modality: Modality, folder: Path | None) -> None:
    """Whether a network knows the tokens of the data, by their number and by their meaning."""
    known, wanted = len(net.get_input_embeddings().weight), modality.vocabulary or 0
    way = f"prepare it with --features 'MODALITY={{name: tokens, tokenizer: {folder or 'FOLDER'}}}'"
    if known < wanted:
        raise ValueError(f"{name} knows {known} tokens, the data has {wanted}; {way}")
    limit = getattr(net.config, "max_position_embeddings", None)
    if limit is not None and modality.shape[0] > limit:
        raise ValueError(f"{name} takes {limit} tokens, the data has up to {modality.shape[0]}; cut them (max_tokens)")
    file = None if folder is None else folder / "tokenizer.json"
    if modality.codec is None or file is None or not file.is_file():
        return
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer
    here: Mapping[str, int] = modality.codec.tokenizer.get_vocab()
    there: Mapping[str, int] = tokenizer.from_file(str(file)).get_vocab()
    for token, number in sorted(here.items(), key=lambda pair: pair[1]):
        if there.get(token) != number:
            found = there.get(token, "unknown")
            raise ValueError(f"{name} has another tokenizer than the data: '{token}' is {found}, not {number}; {way}")


def _width(name: str, config: Any) -> int:
    """D of the last layer's vectors: convolutional networks have a width for each stage."""
    widths: Any = getattr(config, "hidden_size", None) or getattr(config, "hidden_sizes", None)
    if widths is None:
        raise ValueError(f"{name} has neither hidden_size nor hidden_sizes in its config; name another network")
    return int(widths if isinstance(widths, int) else widths[-1])


def _preprocessor(folder: Path | None) -> dict[str, Any]:
    file = None if folder is None else folder / "preprocessor_config.json"
    return cast(dict[str, Any], json.loads(file.read_text())) if file is not None and file.is_file() else {}


def _normalised(x: Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Tensor:
    shift, scale = (x.new_tensor(v)[:, None, None] for v in (mean, deviation))
    return (x - shift) / scale


def _parameters(part: Any) -> bool:
    return isinstance(part, nn.Module) and any(True for _ in part.parameters())
