"""How well modalities are decoded: from themselves, from each other, and beside guesses that know less.

All figures are shares of the variance of what is decoded: 0 is perfect, 1 is what the overall mean gives.

Shapes: K clients (may be absent), B batch, D numbers of a target in a row.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raysim.models.vae import VaeDecoder

_torch: Any = torch  # only partly typed

HELD_BACK, SUMS, TARGETS = "held_back", "sums", "targets"
"""What is added up for a (source, target): a mapping's `held_back`; totals over rows; the sum of the targets."""


def error_sums(
    decoder: VaeDecoder, made: Tensor, target: Tensor, divergence: Tensor, rows: Tensor, pair: tuple[str, str]
) -> dict[tuple[str, ...], Tensor]:
    """What slices of samples add up, for `shares`.

    Args:
        decoder: knows the target's dimensions.
        made: (B, *shape), what it decoded.
        target: (B, *shape).
        divergence: (B,), of the target's own posterior from its prior.
        rows: (B,) bool, the samples that count.
        pair: the names of source and target.
    """
    wrong = decoder.squared(made - target)
    each = (torch.ones_like(wrong), decoder.squared(target), wrong, divergence)
    totals = torch.stack([torch.where(rows, e.double(), 0.0).sum() for e in each])
    return {(*pair, SUMS): totals, (*pair, TARGETS): target.flatten(-decoder.dims)[rows].double().sum(0)}


def shares(sums: Mapping[tuple[str, ...], NDArray[np.float64]]) -> dict[str, dict[str, float]]:
    """Figures of each modality `<m>`, and of each decoded from another one, `<s>><m>`.

    - `error`: of the decoded mean; `divergence`: twice the divergence, which the loss weighs against the error.
    - `held back`, `class mean`: errors on pairs that clients held back, of the mapping and of their class's mean;
      `left out`: the share of the clients that leave the mapping out. Means over those that have measured it.

    Args:
        sums: of `error_sums` for all (source, target), and `LatentMapping.held_back` for those that have a mapping.
    """
    found: dict[str, dict[str, float]] = {}
    for source, target, what in sums:
        values = sums[source, target, what]
        figures = found.setdefault(target if source == target else f"{source}>{target}", {})
        if what == SUMS:
            rows, squares, wrong, divergence = values
            spread = squares - np.square(sums[source, target, TARGETS]).sum() / max(rows, 1)
            if spread > 0:
                figures["error"] = float(wrong / spread)
                figures |= {"divergence": float(2 * divergence / spread)} if source == target else {}
        elif what == HELD_BACK and values[0] > 0:
            for kind, total in zip(("held back", "class mean", "left out"), values[1:], strict=True):
                figures[kind] = float(total / values[0])
    return {subject: figures for subject, figures in found.items() if figures}


def errors_beside_means(
    decoder: VaeDecoder, made: Tensor, target: Tensor, rows: Tensor, held: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    """What was made, and the class's mean, as shares of the error that the mean has, on samples that are held back.

    Both means are over the other samples. All are (*K), NaN where nothing is held back or nothing else is there.

    Args:
        decoder: knows the target's dimensions.
        made: (*K, B, *shape).
        target: (*K, B, *shape).
        rows: (*K, B) bool, the samples that count.
        held: (*K, B) bool, what is held back, of these and of others.
        y: labels, (*K, B) or (*K, B, C).
    """
    mean, of_class = class_means(target.flatten(-decoder.dims), rows & ~held, y)
    judged = rows & held & (rows & ~held).any(-1, keepdim=True)
    whole, error, class_mean = (
        torch.where(judged, decoder.squared(guess.reshape(target.shape) - target), 0.0).sum(-1)
        for guess in (mean.expand_as(of_class), made, of_class)
    )
    whole = torch.where(judged.any(-1), whole, torch.nan)
    return error / whole, class_mean / whole


def moments(values: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (*K, D) of (*K, B, D) over the rows (*K, B); both 0 where there is none."""
    rows, count = where.unsqueeze(-1), where.sum(-1, keepdim=True).clamp(min=1)
    mean = torch.where(rows, values, 0.0).sum(-2) / count
    variance = torch.where(rows, values - mean.unsqueeze(-2), 0.0).square().sum(-2) / count
    # The root of zero has no finite gradient.
    positive = variance > 0
    return mean, torch.where(positive, torch.where(positive, variance, 1.0).sqrt(), 0.0)


def class_means(values: Tensor, rows: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Of values (*K, B, D): the mean over the rows (*K, B), (*K, 1, D); and that over those with a row's labels.

    The latter, (*K, B, D), is the former where no row has these labels. Labels are (*K, B) or (*K, B, C).
    """
    total = torch.where(rows.unsqueeze(-1), values, 0.0)
    mean = total.sum(-2, keepdim=True) / rows.sum(-1).clamp(min=1)[..., None, None]
    labels = y.reshape(*rows.shape, -1)
    found: tuple[Tensor, Tensor] = _torch.unique(labels.flatten(0, -2), dim=0, return_inverse=True)
    kinds, of = len(found[0]), found[1].reshape(*rows.shape, 1)
    alike = of == torch.arange(kinds, device=of.device)
    count = (alike & rows.unsqueeze(-1)).sum(-2, keepdim=True).mT
    means = torch.where(count > 0, alike.mT.to(total.dtype) @ total / count.clamp(min=1), mean)
    return mean, means.gather(-2, of.expand_as(values))
