"""How much is missing in effect, beside what a scenario asks for."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from raysim.scenario.clients import Missing, PerClient, PerSample

Mask = NDArray[np.bool_]


def hidden_share(present: Mask, mask: Mask) -> float:
    """Of all (sample, modality) that the data has, (N, M), the share that a mask hides: the effective missing rate."""
    return float((present & ~mask).sum()) / max(int(present.sum()), 1)


def lacking_share(present: Mask) -> float:
    """Of all (sample, modality), (N, M), the share that the data itself lacks."""
    return float((~present).sum()) / max(present.size, 1)


def effective(spec: Missing, hidden: Mapping[str, float], lacking: Mapping[str, float] | None = None) -> str:
    """What is really missing, beside what the scenario asks for, in a few words; empty where nothing is hidden.

    Args:
        spec: what it asks for.
        hidden: `training` and `test` -> the share of what the data has that is hidden.
        lacking: the same -> the share of all that the data itself lacks.

    Example:
        >>> effective(PerSample(name="per_sample", rate=0.7), {"training": 0.456, "test": 0.4555})
        'missing 0.7: in effect 0.456 in training, 0.456 at test'
    """
    if not any(hidden.values()):
        return ""
    asked = spec.name.replace("_", " ")
    if isinstance(spec, PerClient | PerSample):
        rates = spec.rate if isinstance(spec.rate, Mapping) else {"": spec.rate}
        asked = ", ".join(f"{name} {rate:g}".strip() for name, rate in rates.items())
    if isinstance(spec, PerSample):
        more = {"by client": spec.client_rate, "by class": spec.by_class, "changing": spec.changing}
        asked = ", ".join([asked, *(what for what, said in more.items() if said)])
    of, own = "", ""
    if lacking and any(lacking.values()):
        of = " of what the data has"
        own = f"; the data itself lacks {lacking['training']:.3f} and {lacking['test']:.3f}"
    return f"missing {asked}: in effect {hidden['training']:.3f}{of} in training, {hidden['test']:.3f} at test{own}"
