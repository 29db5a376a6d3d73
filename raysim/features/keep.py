"""Arrays as they are: features that somebody else has extracted, sensor readings, small pictures."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from raysim.data.dataset import Array
from raysim.data.extractor import Extractor


class Keep(Extractor):
    """Floating-point arrays become float32."""

    class Options(Extractor.Options):
        """What may be chosen."""

        pool: Annotated[int, Field(ge=1)] = Field(
            default=1, description="Of sequences: the mean over so many steps; fewer at the end."
        )

    options: Options
    reads = "array"
    chunk = 4096
    parallel = False

    def extract(self, media: Sequence[Any]) -> Sequence[Array]:
        """The arrays themselves, or shorter sequences."""
        return [a if a.dtype == np.uint8 else self._pooled(a.astype(np.float32)) for a in media]

    def _pooled(self, array: Array) -> Array:
        steps = range(0, len(array), self.options.pool)
        if array.ndim != 2 or self.options.pool == 1:
            return array
        return np.stack([array[start : start + self.options.pool].mean(axis=0) for start in steps])
