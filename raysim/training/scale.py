"""What to do about numbers that grew too large: where the data are large themselves, to scale them."""

import numpy as np

from raysim.data.dataset import Dataset
from raysim.data.pieces import pieces

LARGE = 100.0
"""Networks begin with weights for inputs near 1."""
REMEDY = "lower the learning rate or set optimizer.clip_norm"


def remedy(dataset: Dataset) -> str:
    """The way out of a loss or change that is not finite or explodes, in a few words."""
    name, most = max(((m, _largest(dataset, m)) for m in dataset.names), key=lambda pair: pair[1])
    if most < LARGE:
        return REMEDY
    spec = dataset.modalities[name]
    how = "divide it, for example by 255" if spec.kind == "image" else "set dataset.standardize: true"
    return f"'{name}' reaches {most:.3g} where networks want numbers near 1: {how}"


def _largest(dataset: Dataset, name: str) -> float:
    """The largest finite magnitude of a modality in training, of samples that have it; 0 for what is no float."""
    x, present = dataset.train.inputs[name], dataset.train.present.get(name)
    if x.dtype.kind != "f":
        return 0.0
    rows = np.arange(len(x)) if present is None else np.flatnonzero(present)
    found = (np.abs(p).max(initial=0.0, where=np.isfinite(p)) for p in pieces(x, rows, None))
    return float(max(found, default=0.0))
