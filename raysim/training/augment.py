"""Random changes of training images, drawn from the clients' own streams.

Shapes: *K the client axis (may be absent), B batch.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from raysim.batch import Batch
from raysim.scenario.model import Augment, Model


def augmented(batch: Batch, model: Model) -> Batch:
    """The batch with flipped and turned images, as the scenario's `model.augment` says."""
    if not model.augment:
        return batch
    changed = {name: _changed(batch, name, spec) for name, spec in model.augment.items()}
    return replace(batch, x={**batch.x, **changed})


def _changed(batch: Batch, name: str, spec: Augment) -> Tensor:
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
