"""Arrays as they are: features that somebody else has extracted, sensor readings, small pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from raysim.data.dataset import Array
from raysim.data.extractor import Extractor


class Keep(Extractor):
    """Floating-point arrays become float32."""

    reads = "array"
    chunk = 4096
    parallel = False

    def extract(self, media: Sequence[Any]) -> Sequence[Array]:
        """The arrays themselves."""
        return [a if a.dtype == np.uint8 else a.astype(np.float32) for a in media]
