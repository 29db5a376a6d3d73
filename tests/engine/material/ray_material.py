"""Small datasets that are found by a dotted name, here and in every actor."""

import numpy as np

from raysim.data.dataset import Dataset, Modality, Source, Split
from raysim.seeding import stream


class Small(Source):
    """Four classes, an image, a sequence and a vector; each modality tells something of the class."""

    def load(self):
        modalities = {
            "image": Modality("image", (1, 8, 8)),
            "sequence": Modality("sequence", (6, 3)),
            "vector": Modality("vector", (5,)),
        }
        splits = [self._split(name, size) for name, size in (("train", 100), ("validation", 30), ("test", 30))]
        return Dataset(modalities, ("a", "b", "c", "d"), False, *splits)

    def _split(self, name, size):
        rng = stream(0, "small", name)
        labels = rng.integers(4, size=size)
        shapes = {"image": (1, 8, 8), "sequence": (6, 3), "vector": (5,)}
        inputs = {m: rng.standard_normal((size, *shape)) for m, shape in shapes.items()}
        for values in inputs.values():
            values += labels.reshape(-1, *[1] * (values.ndim - 1)) / 3
        return Split(
            {m: v.astype(np.float32) for m, v in inputs.items()}, labels, {"sequence": rng.integers(3, 7, size=size)}
        )


class Line(Source):
    """Numbers as a modality `x` of width 1; the class is their sign."""

    def load(self):
        values = stream(0, "line").standard_normal((40, 1)).astype(np.float32)
        split = Split({"x": values}, (values[:, 0] > 0).astype(np.int64))
        return Dataset({"x": Modality("vector", (1,))}, ("-", "+"), False, split, split, split)
