"""Every method learns under every algorithm: half of two correlated modalities is missing, and the loss falls.

A new method or algorithm is tried as it is; one that needs more has a line in a table.
"""

from itertools import product

import numpy as np
import pytest
from sizes import FITS, SECTIONS, SMALL

from raysim import registry
from raysim.method import Train

ROUNDS = 4
METHODS = [e.name for e in registry.listed("method")]
SERVER = {
    "fedopt": {"server_lr": 0.06, "momentum": 0.5},
    "fedadagrad": {"server_lr": 0.03},
    "fedadam": {"server_lr": 0.03},
    "fedyogi": {"server_lr": 0.03},
    "krum": {"byzantine": 0, "keep": 3},
}
"""Algorithm -> options that suit a few rounds."""
SHARP = {"name": "normal", "scale": 0.3}
MOPOE = {"name": "mopoe", "latent": 4, "hidden": 128, "likelihoods": {"left": SHARP, "right": SHARP}}
OPTIONS = {
    "unimodal": {"modality": "left"}, "generate": {"generator": MOPOE},
    "train_on_generated": {"generator": MOPOE, "pretrain_rounds": 2, "data": "both"},
}  # fmt: skip
"""Method -> what the data asks for."""
EPOCHS = dict.fromkeys(FITS, 10) | {"generate": 2, "train_on_generated": 2}
"""Method -> passes in a round, where samples are few or steps small."""
ALGORITHMS = [e.name for e in registry.listed("algorithm")]
THROUGHOUT = ("zero_fill", "blossom", "mmfedmc")
"""Whose networks are all shared, partly private, and sent in part: under every algorithm in the default run, too."""


def cases():
    for method, algorithm in product(METHODS, ALGORITHMS):
        slow = method not in THROUGHOUT and algorithm != "fedavg"
        yield pytest.param(method, algorithm, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize(("method", "algorithm"), [*cases()])
def test_it_learns(correlated, tiny_data, make_job, new_run, method, algorithm):
    options = OPTIONS.get(method, SMALL.get(method, {}))
    data = correlated(0) if FITS.get(method, "vectors") == "vectors" else tiny_data(FITS[method])
    job = make_job(
        data, {"name": method} | options, stack=4,
        partition={"name": "dirichlet", "clients": 4, "alpha": 1.0},
        missing={"name": "per_sample", "rate": 0.5},
        model={"dim": 16, "dropout": 0.0, "head": {"hidden": 16, "dropout": 0.0}},
        federation={
            "rounds": ROUNDS, "local_epochs": EPOCHS.get(method, 1),
            "batch_size": 8, "optimizer": {"lr": 0.1, "momentum": 0.9, "clip_norm": 1.0},
            "algorithm": {"name": algorithm} | SERVER.get(algorithm, {}),
        },
        evaluation={"every_rounds": ROUNDS},
        **SECTIONS.get(method, {}),
    )  # fmt: skip
    (phase,) = (p for p in job.phases if p.rounds is None)
    stages = [s for s in phase.stages if isinstance(s, Train)]
    stage = next((s for s in stages if any(g.startswith("task.") for g in s.globs)), stages[0])
    run = new_run(job).go()
    first, *_, last = (record["loss"][stage.name] for record in run.records if stage.name in record["loss"])
    assert last < 0.85 * first
    assert all(np.isfinite(x).all() for x in run.x.values())
