"""What methods that fill have in common: who may be made of whom, and several guesses of one merged."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from raysim.batch import Batch, Nets
from raysim.models.feature import Feature
from raysim.models.pooling import Pooling


def mean_over_sources(guesses: Mapping[str, Tensor], batch: Batch, *, first: bool = False) -> tuple[Tensor, Tensor]:
    """Merges what several source modalities say of a missing one.

    Args:
        guesses: source -> (*K, B, D).
        batch: tells which sources a row has; of `usable`, say.
        first: take the first available source instead of the mean over all.

    Returns:
        The merged (*K, B, D), zero where a row has no source, and (*K, B) bool: where it has one.
    """
    shares = torch.stack([batch.present[s] for s in guesses])
    if first:
        shares = shares & (shares.cumsum(0) == 1)
    values = torch.where(shares[..., None], torch.stack(list(guesses.values())), 0.0).sum(0)
    return values / shares.sum(0).clamp(min=1)[..., None], shares.any(0)


def usable(batch: Batch, nets: Nets, makers: Mapping[str, str]) -> Batch:
    """The batch with what an absent modality may be made of as all that is there.

    Args:
        batch: tells what its rows have.
        nets: the networks.
        makers: source -> the group that makes the modality of it.

    Returns:
        `present` is (*K, B) bool for each source that some row of these clients has: the rows that have it, where
        anybody has trained its maker.
    """
    there = {s: batch.present[s] & nets.learnt(group) for s, group in makers.items() if not batch.nowhere(s)}
    return replace(batch, present=there)


def fill_inputs(
    batch: Batch, nets: Nets, features: Mapping[str, Feature], makers: str, make: Callable[[str, str], Tensor],
    pooling: Callable[[str, str], Pooling],
) -> dict[str, Feature]:  # fmt: skip
    """Filling at input level: what is absent is made from each modality that is there, merged, and encoded.

    Args:
        batch: as `Method.fill` has it.
        nets: likewise.
        features: likewise.
        makers: the groups `<makers>.<source>_<target>` make it; what nobody has trained makes nothing.
        make: (source, target) -> the target as vectors (*K, B, D); it gets no gradient.
        pooling: (source, target) -> how such a vector becomes an input.

    Returns:
        modality -> its embedding, or that of what was made where it is absent.
    """
    filled = {m: f.where(batch.present[m]) for m, f in features.items()}
    for target in [m for m in features if not batch.everywhere(m)]:
        sources = usable(batch, nets, {m: f"{makers}.{m}_{target}" for m in features if m != target})
        if not sources.present:
            continue
        with torch.no_grad():
            guesses = {s: make(s, target) for s in sources.present}
        made, known = mean_over_sources(guesses, sources)
        encoded: Feature = nets[f"task.{target}"](*pooling(next(iter(guesses)), target).input(made))
        filled[target] = filled[target].where(batch.present[target], encoded.where(known))
    return filled
