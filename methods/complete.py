"""The upper bound: nothing is missing but what the data itself lacks, in training and at test time.

Source: the complete-data reference of the papers' tables.
"""

import numpy as np
from numpy.typing import NDArray

from raysim.method import Method, Task


class Complete(Method):
    """Undoes the scenario's missing modalities."""

    fills = None
    bound = True

    def observe(self, mask: NDArray[np.bool_], present: NDArray[np.bool_], task: Task) -> NDArray[np.bool_]:
        """The data's own mask."""
        return present
