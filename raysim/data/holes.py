"""Parts of a modality that are hidden: a span of steps, a patch of an image, a block of features.

The modality is still present; what is hidden are zeros, as in random erasing (Zhong et al. 2020, arXiv:1708.04896) and
in the time masks of SpecAugment (Park et al. 2019, arXiv:1904.08779), but fixed: one draw for each (sample, modality)
in all rounds. A draw depends on the seed, the modality's name and the row alone, so that at a higher rate more samples
lose the same parts.

Shapes: N samples, A axes along which a part is hidden.
"""

from collections.abc import Mapping

import numpy as np

from raysim.data.dataset import Array, DataError, Modality, Split, hint
from raysim.scenario.clients import HiddenParts
from raysim.seeding import stream


def axes(modality: Modality) -> tuple[int, ...]:
    """The dimensions of a sample along which a part is hidden, counted from the last."""
    return {"image": (-2, -1), "vector": (-1,), "sequence": (-2,), "tokens": (-1,)}[modality.kind]


def holes(
    split: Split, modalities: Mapping[str, Modality], spec: HiddenParts | None, name: str, seed: int
) -> dict[str, Array]:
    """Draws what is hidden of a split: modality -> (N, 2 A) int32, where a part begins and ends along each axis.

    Args:
        split: its samples; sequences and tokens lose steps within their length.
        modalities: by name.
        spec: the `parts` of the scenario's `missing` section.
        name: the split's; each has draws of its own.
        seed: the trial's.

    Returns:
        Modalities of which something may be hidden; a sample that loses nothing has zeros.

    Raises:
        DataError: a modality that is not there.
    """
    found: dict[str, Array] = {}
    if spec is None:
        return found
    for said in (spec.rate, spec.share):
        for m in said if isinstance(said, Mapping) else ():
            if m not in modalities:
                raise DataError(f"parts: no modality '{m}'; {hint(m, modalities)}", "missing")
    for m, modality in modalities.items():
        rate, share = (s.get(m, 0.0) if isinstance(s, Mapping) else s for s in (spec.rate, spec.share))
        if rate and share:
            rng, dims = stream(seed, "missing", "parts", name, m), axes(modality)
            hit = rng.random(len(split)) < rate
            places = rng.random((len(dims), len(split)))
            spans: list[Array] = []
            for dim, place in zip(dims, places, strict=True):
                extent = (
                    np.maximum(split.lengths[m], 1) if modality.ordered else np.full(len(split), modality.shape[dim])
                )
                size = np.rint(share ** (1 / len(dims)) * extent).clip(min=1).astype(np.int64)
                begin = (place * (extent - size + 1)).astype(np.int64)
                spans += [begin, begin + size]
            found[m] = np.where(hit[:, None], np.stack(spans, axis=1), 0).astype(np.int32)
    return found
