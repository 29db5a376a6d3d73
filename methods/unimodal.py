"""A lower bound: one modality alone, as far as the scenario leaves it.

Clients without the modality do not take part; at test time a sample without it is classified from nothing.
Source: the unimodal references of the papers' tables.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictStr

from raysim.method import Method, Task


class Unimodal(Method):
    """Hides all modalities but one."""

    class Options(Method.Options):
        """Which modality is left."""

        modality: StrictStr = Field(description="The modality that is left.")

    options: Options
    fills = None

    def check(self, task: Task) -> None:
        """Refuses a modality that the data does not have."""
        super().check(task)
        if self.options.modality not in task.modalities:
            known = ", ".join(task.modalities)
            raise ValueError(f"method.modality is '{self.options.modality}', the data has: {known}")

    def observe(self, mask: NDArray[np.bool_], present: NDArray[np.bool_], task: Task) -> NDArray[np.bool_]:
        """The mask with all other columns empty."""
        return mask & np.array([m == self.options.modality for m in task.modalities])
