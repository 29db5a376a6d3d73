"""Encoders and fusions of one's own: torch modules that are found by name and need not know raysim.

    class Tower(nn.Module):  # mynet.py; model: {encoders: {image: {name: "mynet:Tower", width: 32}}}
        def __init__(self, in_channels: int, out_dim: int, width: int = 16):
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(in_channels, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.head = nn.Linear(width, out_dim)

        def forward(self, x):  # (B, C, height, width) -> (B, out_dim)
            return self.head(self.net(x))

A constructor gets what it asks for by these names; its other parameters are options, typed by their annotations:

| name | meaning |
|---|---|
| `modality` | a `raysim.data.dataset.Modality`: kind, shape of a sample, vocabulary |
| `in_channels` | of images |
| `in_features` | the width of vectors, or of a sequence's steps |
| `vocabulary` | of tokens: how many different ones there are |
| `dim` or `out_dim` | D, the width of what comes out: `model.dim` |
| `modalities` | of a fusion: their names, in order |

An encoder's `forward` takes x (*K, B, *shape) and, where it has a parameter of that name, `lengths` (*K, B): the valid
steps of sequences and tokens, at least 1. It returns one vector a sample, (*K, B, D); or tokens (*K, B, T, D), one for
every `downsampling` steps (an attribute; 1 without it); or (tokens, how many are valid (*K, B)); or a `Feature`.
A fusion's `forward` takes the streams (`raysim.models.feature.Streams`; `pooled` makes (*K, B, D) of one modality's)
and returns (*K, B, any width).

The client axis K is there only in a module that is made of raysim's own layers (`raysim.models.layers`,
`convolution`, `recurrent`) or of parts with `client_axis = True`, and that does not say `client_axis = False` itself.
Any other is given the samples alone that have the modality, and clients are trained one after another.

Shapes: K clients (may be absent), B batch, T tokens or steps, D features.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from raysim import constructors, registry
from raysim.data.dataset import Modality
from raysim.models.encoder import Encoder, within
from raysim.models.feature import Feature, Streams
from raysim.models.layers import stackable
from raysim.scenario.functions import failure
from raysim.scenario.model import Model, OwnEncoder, OwnFusion
from raysim.scenario.section import Component
from raysim.seeding import derive

SAMPLES = 3
"""Of a trial run."""
CLIENTS = 2
"""Of a trial run with a client axis."""
NEAR = 1e-4
"""What clients together may differ from each alone, of numbers around 1."""


class MisfitError(ValueError):
    """What a module of one's own returns is of no use; one line with the shape that came and the one that is wanted."""


class Own(Encoder):
    """Makes a feature of what a module returns."""

    prefix = "net."

    def __init__(self, name: str, net: nn.Module, modality: Modality, model: Model) -> None:
        super().__init__(model)
        self.net, self._name, self._modality = net, name, modality
        self.downsampling = int(getattr(net, "downsampling", 1))
        self.selective = not stackable(net)
        self._told_lengths = "lengths" in inspect.signature(net.forward).parameters

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Feature:
        """See `Encoder.forward`.

        Raises:
            MisfitError: the module returns something else than it should.
        """
        lead = tuple(x.shape[: x.dim() - len(self._modality.shape)])
        if self._modality.ordered and lengths is None:
            lengths = torch.full(lead, x.shape[len(lead)], device=x.device)
        lengths = lengths.clamp(min=1) if self._modality.ordered and lengths is not None else None
        found = self.net(x, lengths=lengths) if self._told_lengths else self.net(x)
        feature = self._feature(found, lead, None if lengths is None else (lengths, x.shape[len(lead)]))
        return feature.of_unit_length() if self.normalize else feature

    def _feature(self, found: Any, lead: tuple[int, ...], steps: tuple[Tensor, int] | None) -> Feature:
        """Of rows of shape `lead`, whose inputs have so many valid steps, and so many in all."""
        ends: Any = None
        if isinstance(found, tuple):
            pair = cast(tuple[Any, ...], found)
            found, ends = pair if len(pair) == 2 else (pair, None)
        tokens: Any = found.tokens if isinstance(found, Feature) else found
        came = _said(tokens)
        wanted = ((*lead, self.dim), (*lead, "T", self.dim))
        if not isinstance(tokens, Tensor) or not any(_fits(tokens, shape) for shape in wanted):
            vector, several = (str(shape).replace("'", "") for shape in wanted)
            raise MisfitError(f"'{self._name}' gives {came}, and {vector} is wanted, or {several} for T tokens")
        if isinstance(found, Feature):
            return found
        if tokens.dim() == len(lead) + 1:
            return Feature.of(tokens)
        if ends is None and steps is not None:
            ends = steps[0] // self.downsampling
            if tokens.shape[-2] != steps[1] // self.downsampling:
                raise MisfitError(
                    f"'{self._name}' gives {came} for {steps[1]} steps, and {steps[1] // self.downsampling} tokens are "
                    "wanted; set downsampling on the class (steps for a token), or return (tokens, lengths)"
                )
        if ends is None:
            return Feature(tokens, tokens.new_ones(tokens.shape[:-1], dtype=torch.bool))
        if not (isinstance(ends, Tensor) and _fits(ends, lead) and not ends.is_floating_point()):
            raise MisfitError(
                f"'{self._name}' gives tokens and something else; integers of the shape {lead} are wanted"
            )
        return Feature(tokens, within(ends, tokens.shape[-2]))


class Fused(nn.Module):
    """A fusion of one's own: (*K, B, width)."""

    def __init__(self, name: str, net: nn.Module, modalities: Sequence[str], dim: int) -> None:
        """Tries the module on zeros, to know how wide its vectors are.

        Raises:
            ValueError: it fails, or gives something else than vectors.
        """
        super().__init__()
        self.net = net
        found: Any = tried(name, net, lambda: net(_streams(modalities, torch.zeros(SAMPLES, dim))), f"width {dim}")
        if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != SAMPLES:
            raise MisfitError(f"'{name}' gives {_said(found)}, and ({SAMPLES}, any width) is wanted")
        self.width = found.shape[-1]

    def forward(self, streams: Streams) -> Tensor:
        """What the module makes of the streams."""
        return self.net(streams)


def own_encoder(name: str, spec: OwnEncoder, modality: Modality, model: Model) -> Own:
    """The encoder of the modality called `name`.

    Raises:
        ValueError: it cannot be built; one line.
    """
    width = modality.shape[-1] if modality.kind in ("vector", "sequence") else None
    given = {
        "modality": modality, "in_channels": modality.shape[0] if modality.kind == "image" else None,
        "in_features": width, "vocabulary": modality.vocabulary, "dim": model.dim, "out_dim": model.dim,
    }  # fmt: skip
    what = f"'{name}', {modality.kind} of the shape {modality.shape},"
    return Own(spec.name, _built("encoder", spec, given, what), modality, model)


def own_fusion(spec: OwnFusion, modalities: Sequence[str], dim: int) -> Fused:
    """The fusion of these modalities.

    Raises:
        ValueError: it cannot be built, or fails on zeros; one line.
    """
    net = _built("fusion", spec, {"modalities": tuple(modalities), "dim": dim}, "the model")
    return Fused(spec.name, net, modalities, dim)


def try_encoder(name: str, spec: OwnEncoder, modality: Modality, model: Model) -> None:
    """Builds an encoder and has it encode some samples, also of several clients together if it says that it can.

    Raises:
        ValueError: it fails, or its features are of no use; one line.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(0, "trial run") % 2**63)
        encoder = own_encoder(name, spec, modality, model).eval()
        lead = (CLIENTS, SAMPLES, *modality.shape)
        tokens = modality.kind == "tokens"
        x = torch.randint(modality.vocabulary or 1, lead) if tokens else torch.rand(lead)
        tried(spec.name, encoder.net, lambda: encoder(x[0]), f"samples of the shape {modality.shape}")
        if stackable(encoder):
            each = [(one,) for one in x]
            _alike(spec.name, encoder, each, (x,), lambda feature: feature.pooled())


def try_fusion(spec: OwnFusion, modalities: Sequence[str], dim: int) -> None:
    """The same of a fusion.

    Raises:
        ValueError: likewise.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(0, "trial run") % 2**63)
        fusion = own_fusion(spec, modalities, dim).eval()
        if stackable(fusion):
            x = torch.rand(CLIENTS, SAMPLES, dim)
            each = [(_streams(modalities, one),) for one in x]
            _alike(spec.name, fusion, each, (_streams(modalities, x),), lambda fused: fused)


def _built(kind: str, spec: Component, given: Mapping[str, Any], what: str) -> nn.Module:
    """The module, with what it asks for of what is given and the options that the scenario says."""
    found = registry.find(kind, spec.name)
    asked = constructors.taken(found, given)
    for name in asked:
        if given[name] is None:
            raise ValueError(f"'{spec.name}' takes {name}, which {what} has not; write one that takes modality")
    said = registry.validated(registry.settings_of(kind, found), spec.options)
    options = {name: getattr(said, name) for name in said.model_fields_set}
    try:
        return found(**{name: given[name] for name in asked}, **options)
    except Exception as error:
        raise ValueError(f"'{spec.name}' cannot be built: {failure(error, _file(found))}") from error


def tried(
    name: str, net: nn.Module, run: Callable[[], Any], what: str, *, count: int = SAMPLES, training: bool = False
) -> Any:
    """What comes of a trial run, without gradients.

    Raises:
        MisfitError: as it was raised.
        ValueError: it raises something else; one line.
    """
    before = net.training
    try:
        with torch.no_grad():
            net.train(training)
            return run()
    except MisfitError:
        raise
    except Exception as error:
        raise ValueError(f"'{name}' fails on {count} {what}: {failure(error, _file(type(net)))}") from error
    finally:
        net.train(before)


def _alike(
    name: str, net: nn.Module, each: Sequence[tuple[Any, ...]], together: tuple[Any, ...],
    vectors: Callable[[Any], Tensor],
) -> None:  # fmt: skip
    """Whether clients with weights of their own get the same vectors together as each alone."""
    tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    own = [{n: t / (k + 1) if t.is_floating_point() else t for n, t in tensors.items()} for k in range(len(each))]
    stack = {n: torch.stack([table[n] for table in own]) for n in tensors}
    with torch.no_grad():
        alone = torch.stack([vectors(functional_call(net, *pair)) for pair in zip(own, each, strict=True)])
        try:
            found = vectors(functional_call(net, stack, together))
            same = found.shape == alone.shape and torch.allclose(found, alone, atol=NEAR)
            reason = "" if same else "gives other numbers for clients together (K, B, ...) than for each alone"
        except Exception as error:  # noqa: BLE001 - whatever the module raises is the answer
            reason = f"fails on clients together (K, B, ...): {failure(error, _file(type(net)))}"
    if reason:
        raise ValueError(
            f"'{name}' takes a client axis by its parts, but {reason}; count dimensions from the right and take sizes "
            "from the input, or write client_axis = False in the class"
        )


def _streams(modalities: Sequence[str], vectors: Tensor) -> Streams:
    return {m: Feature.of(vectors) for m in modalities}


def _fits(tensor: Tensor, shape: Sequence[int | str]) -> bool:
    """Whether it has that shape, of which words stand for any size."""
    return tensor.dim() == len(shape) and all(
        isinstance(b, str) or a == b for a, b in zip(tensor.shape, shape, strict=True)
    )


def _said(found: Any) -> str:
    """What came instead of what is wanted."""
    return f"the shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"


def _file(component: type[Any]) -> str | None:
    return inspect.getsourcefile(component)
