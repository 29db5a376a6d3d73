"""What is allowed of data, and most likely not meant.

Shapes: N samples.
"""

from collections.abc import Iterator

import numpy as np

from raysim.data.dataset import Dataset

LOOKED_AT = 256
"""So many samples tell."""
BRIGHT = 16.0
"""Beyond this no image of floats is standardised, or in [0, 1]."""


def remarks(dataset: Dataset) -> Iterator[str]:
    """A line for each modality whose values are unlikely."""
    for name, modality in dataset.modalities.items():
        x, train = dataset.train.inputs[name], dataset.train
        rows = np.flatnonzero(train.presence((name,))[:, 0])[:LOOKED_AT]
        if modality.kind != "image" or x.dtype.kind != "f" or not len(rows):
            continue
        largest = max(float(np.abs(np.asarray(x[rows])).max()), 0.0)
        if largest > BRIGHT:
            yield (
                f"image '{name}' has values up to {largest:g} as floats; networks take them as they are: write "
                "x.astype('uint8') for pixels of 0 to 255, or divide by 255"
            )
