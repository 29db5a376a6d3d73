"""The standard jobs: small federations of random data, as many simulators time them.

Shapes: N samples, T steps, D features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from raysim.data.dataset import Array, Dataset, Modality, Split
from raysim.data.federated import Federated, View
from raysim.scenario.errors import Place
from raysim.scenario.schema import Scenario
from raysim.scenario.trial import Source, Trial
from raysim.seeding import stream

CLASSES = 10
TESTED = 16


@dataclass(frozen=True)
class Standard:
    """One job.

    Attributes:
        summary: a line about it.
        modalities: what each sample has.
        clients, cohort, samples: how many clients there are, how many train in a round, samples of each.
        unequal: sizes and lengths differ by up to a factor of four.
        settings: sections of the scenario.
    """

    summary: str
    modalities: Mapping[str, Modality]
    clients: int
    cohort: int
    samples: int
    unequal: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


_SEQUENCES = {"audio": Modality("sequence", (96, 80)), "text": Modality("sequence", (16, 128))}
_MULTIMODAL: Mapping[str, Any] = {
    "model": {"dim": 64, "encoders": {"audio": "conv_gru", "text": "gru"}, "fusion": {"name": "attention"}}
}
_VECTORS = {"text": Modality("vector", (100,)), "audio": Modality("vector", (73,))}
JOBS: Mapping[str, Standard] = {
    "cnn": Standard("small CNN, 10 of 100 clients", {"image": Modality("image", (1, 28, 28))}, 100, 10, 64),
    "mlp": Standard(
        "tiny MLP, 100 of 1,000 clients", {"a": Modality("vector", (128,))}, 1000, 100, 32,
        settings={"model": {"dim": 64, "head": {"hidden": None}, "dropout": 0.0}},
    ),
    "multimodal": Standard(
        "Conv1d + GRU, GRU and attention, 10 of 80 clients", _SEQUENCES, 80, 10, 64, settings=_MULTIMODAL
    ),
    "unequal": Standard(
        "the same with unequal sizes and lengths", _SEQUENCES, 80, 10, 64, unequal=True, settings=_MULTIMODAL
    ),
    "imputation": Standard(
        "FIN's stage 2, the imputation networks, 20 clients", _VECTORS, 20, 20, 32,
        settings={
            "method": {
                "name": "raysim.bench.only:Only", "stages": ["imputation"],
                "of": {"name": "feature_imputation", "layers": 3, "hidden": 128},
            },
            "model": {"dim": 32, "normalize": True},
        },
    ),
    "mapping": Standard(
        "FedRecon's stages 1 and 2, autoencoders and mappings, 20 clients", _VECTORS, 20, 20, 32,
        settings={
            "method": {
                "name": "raysim.bench.only:Only", "stages": ["generator", "mapping"],
                "of": {"name": "mvae_mapping", "hidden": 128, "map_hidden": 128, "latent": 32},
            },
        },
    ),
}  # fmt: skip


def trial_of(name: str, job: Standard) -> Trial:
    """A job as a trial that never ends and never evaluates before that."""
    scenario = Scenario.model_validate(
        {
            "name": name,
            "dataset": "random",
            "partition": {"name": "natural"},
            "method": "zero_fill",
            "federation": {"rounds": 10**6, "clients_per_round": job.cohort, "optimizer": {"name": "sgd", "lr": 0.01}},
            "evaluation": {"every_rounds": 10**6},
            **job.settings,
        }
    )
    return Trial(scenario, 0, {}, name, Source(Path("bench"), {"": Place("bench")}))


def data_of(job: Standard) -> Federated:
    """Random samples, dealt out."""
    rng = stream(0, "bench")
    sizes = rng.integers(job.samples // 4, job.samples + 1, job.clients) if job.unequal else [job.samples] * job.clients
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    train, test = _split(job, int(offsets[-1]), rng), _split(job, TESTED, rng)
    dataset = Dataset(job.modalities, tuple(map(str, range(CLASSES))), False, train, test, test)
    views = {name: View(name, np.ones((TESTED, len(job.modalities)), dtype=bool)) for name in ("validation", "test")}
    mask = np.ones((len(train), len(job.modalities)), dtype=bool)
    return Federated(dataset, mask, np.arange(len(train)), offsets, views)


def _split(job: Standard, count: int, rng: np.random.Generator) -> Split:
    inputs = {m: rng.standard_normal((count, *spec.shape), dtype=np.float32) for m, spec in job.modalities.items()}
    lengths: dict[str, Array] = {}
    for name, spec in job.modalities.items():
        if spec.ordered:
            low = spec.shape[0] // 4 if job.unequal else spec.shape[0]
            lengths[name] = rng.integers(low, spec.shape[0] + 1, count)
    return Split(inputs, rng.integers(0, CLASSES, count), lengths)
