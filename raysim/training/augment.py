"""Random changes of training inputs, drawn from the clients' own streams.

One's own is a function, or a class whose constructor takes the options and whose instances are called so:

    def jitter(x, noise, sigma: float = 0.1):  # mine.py; model: {augment: {image: {name: "mine:jitter", sigma: 0.2}}}
        return x + sigma * noise("jitter", x.shape)

It gets what it asks for by these names; its other parameters are options, typed by their annotations:

| name | meaning |
|---|---|
| `x` | (*K, B, *shape): images in [0, 1], vectors, sequences; token ids (integers) |
| `lengths` | (*K, B), the valid steps of sequences and tokens; None of others |
| `noise` | `noise(name, shape, kind="normal")`, or kind "uniform" in [0, 1): numbers from the clients' own streams |

It returns x of the same shape and type. Shapes begin with the client axis K where there is one: count dimensions from
the right, and clients draw the same numbers alone and in a stack. Random numbers from elsewhere are refused. What is
absent stays zeros.

Shapes: *K the client axis (may be absent), B batch.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from raysim.batch import Batch
from raysim.data.dataset import Modality
from raysim.draws import Draws
from raysim.scenario.functions import Function, bound
from raysim.scenario.model import Augment, Model, OwnAugment

Noise = Callable[..., Tensor]
CLIENTS, SAMPLES = 2, 3
"""Of a trial run."""
NEAR = 1e-5
"""What clients together may differ from each alone, of numbers around 1."""


def own_augments(model: Model) -> dict[str, Function]:
    """The functions of one's own, by modality."""
    own = {name: spec for name, spec in model.augment.items() if isinstance(spec, OwnAugment)}
    return {name: bound("augmentation", spec) for name, spec in own.items()}


def augmented(batch: Batch, model: Model, own: Mapping[str, Function]) -> Batch:
    """The batch with changed inputs, as the scenario's `model.augment` says.

    Raises:
        ValueError: a function of one's own fails, or does not return what it should.
    """
    if not model.augment:
        return batch
    changed = {name: _changed(batch, name, spec) for name, spec in model.augment.items()}
    for name, function in own.items():
        x, lengths = changed[name], batch.lengths.get(name)
        made = _made(function, x, lengths, _noise(batch.noise, name))
        changed[name] = torch.where(batch.present[name].view(*batch.rows.shape, *_ones(x, batch.rows)), made, x)
    return replace(batch, x={**batch.x, **changed})


def try_augment(name: str, function: Function, modality: Modality) -> None:
    """Has a function change some samples of several clients.

    Raises:
        ValueError: it fails, or what it makes is of no use; one line.
    """
    lead = (CLIENTS, SAMPLES)
    tokens = modality.kind == "tokens"
    x = torch.ones(*lead, *modality.shape, dtype=torch.int64) if tokens else torch.rand(*lead, *modality.shape)
    lengths = torch.full(lead, modality.shape[0]) if modality.ordered else None

    def run(client: int | None) -> Tensor:
        keys = [("trial run", k) for k in (range(CLIENTS) if client is None else (client,))]
        draws = Draws(0, keys, axis=client is None, device=torch.device("cpu"))
        own = x if client is None else x[client]
        steps = lengths if client is None or lengths is None else lengths[client]
        return _made(function, own.clone(), steps, _noise(draws.named, name))

    alone = torch.stack([run(k) for k in range(CLIENTS)])
    if not torch.equal(alone, torch.stack([run(k) for k in range(CLIENTS)])):
        raise ValueError(f"'{function.name}' gives other numbers when it is called again; draw from noise alone")
    if not torch.allclose(run(None).double(), alone.double(), rtol=0, atol=NEAR):
        raise ValueError(
            f"'{function.name}' gives other numbers for clients together (K, B, ...) than for each alone; count "
            "dimensions from the right"
        )


def _made(function: Function, x: Tensor, lengths: Tensor | None, noise: Noise) -> Tensor:
    made = function({"x": x, "lengths": lengths, "noise": noise})
    if not isinstance(made, Tensor) or made.shape != x.shape or made.dtype != x.dtype:
        came = f"{made.dtype} of the shape {tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
        raise ValueError(f"'{function.name}' gives {came}, and {x.dtype} of the shape {tuple(x.shape)} is wanted")
    return made


def _noise(draw: Noise, modality: str) -> Noise:
    """Draws under names that no other modality has."""

    def noise(name: str, shape: tuple[int, ...], kind: str = "normal") -> Tensor:
        return draw(f"augment.{modality}.own.{name}", tuple(shape), kind)

    return noise


def _ones(x: Tensor, rows: Tensor) -> tuple[int, ...]:
    return (1,) * (x.dim() - rows.dim())


def _changed(batch: Batch, name: str, spec: Augment | OwnAugment) -> Tensor:
    x, lead = batch.x[name], tuple(batch.rows.shape)
    if spec.flip:
        flipped = batch.noise(f"augment.{name}.flip", lead, "uniform") < spec.flip
        x = torch.where(flipped[..., None, None, None], x.flip(-1), x)
    if spec.rotate_deg:
        turns = 2 * batch.noise(f"augment.{name}.rotate", lead, "uniform") - 1
        x = rotated(x, turns * math.radians(spec.rotate_deg))
    return x


def rotated(x: Tensor, angles: Tensor) -> Tensor:
    """Images (*K, B, C, height, width) turned about their middle by angles (*K, B) in radians; corners become black."""
    height, width = x.shape[-2:]
    cosine, sine, zero = angles.flatten().cos(), angles.flatten().sin(), torch.zeros_like(angles.flatten())
    # Coordinates run from -1 to 1 in both directions, whatever the sides.
    first = torch.stack([cosine, -sine * height / width, zero], dim=-1)
    second = torch.stack([sine * width / height, cosine, zero], dim=-1)
    flat = x.flatten(0, -4)
    grid = F.affine_grid(torch.stack([first, second], dim=1), list(flat.shape), align_corners=False)
    return F.grid_sample(flat, grid.to(x.dtype), align_corners=False).view(x.shape)
