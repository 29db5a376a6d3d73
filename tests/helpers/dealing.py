"""A small federation, dealt out as a scenario says."""

import numpy as np

from raysim.data.dataset import Dataset, Modality, Split
from raysim.data.dealing import federate
from raysim.scenario.schema import Scenario

CLIENTS = np.array([5, 2, 5, 9, 2, 5])
NAMES = ("", "", "second", "", "", "fifth", "", "", "", "ninth")


def dealt(observe=lambda mask, present: mask, *, natural=True, names=NAMES, n=6, **sections):
    """Samples of two classes and two modalities; the last one lacks b."""
    present = np.ones(n, bool)
    present[-1] = False
    clients = np.resize(CLIENTS, n) if natural else None
    split = Split({m: np.zeros((n, 1), np.float32) for m in "ab"}, np.arange(n) % 2, {}, {"b": present}, clients)
    modalities = {m: Modality("vector", (1,)) for m in "ab"}
    data = Dataset(modalities, ("x", "y"), False, split, split, split, names if natural else ())
    scenario = Scenario.model_validate({
        "name": "t", "dataset": "none", "partition": "natural", "method": "zero_fill", "federation": {"rounds": 1},
        **sections,
    })  # fmt: skip
    return federate(data, scenario, 0, observe)
