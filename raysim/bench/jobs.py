"""The standard jobs: small federations of random data, as many simulators time them.

Shapes: N samples, T steps, D features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysim.data.dataset import Array, Dataset, Modality, Source, Split
from raysim.scenario import trial
from raysim.scenario.errors import Place
from raysim.scenario.schema import Scenario
from raysim.seeding import stream

CLASSES = 10
TESTED = 16
FOR_EVER = 10**6


@dataclass(frozen=True)
class Standard:
    """One job.

    Attributes:
        summary: a line about it.
        modalities: what each sample has.
        clients, cohort, samples: how many clients there are, how many train in a round, samples of each.
        settings: sections of the scenario.
        unequal: sizes and lengths differ by up to a factor of four.
    """

    summary: str
    modalities: Mapping[str, Modality]
    clients: int
    cohort: int
    samples: int
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    unequal: bool = False


_SEQUENCES = {"audio": Modality("sequence", (200, 80)), "text": Modality("sequence", (30, 512))}
_SHORT = {"audio": Modality("sequence", (96, 80)), "text": Modality("sequence", (16, 128))}
_MULTIMODAL: Mapping[str, Any] = {
    "model": {"dim": 64, "encoders": {"audio": "conv_gru", "text": "gru"}, "fusion": {"name": "attention"}}
}
_VECTORS = {"text": Modality("vector", (100,)), "audio": Modality("vector", (73,))}


def _whole(network: str) -> dict[str, Any]:
    return {"method": {"name": "raysim.bench.networks:Whole", "network": network}}


JOBS: Mapping[str, Standard] = {
    "cnn": Standard(
        "small CNN, 10 of 100 clients", {"image": Modality("image", (1, 28, 28))}, 100, 10, 64, _whole("cnn")
    ),
    "mlp": Standard(
        "MLP 128-64-10, 100 of 1,000 clients", {"a": Modality("vector", (128,))}, 1000, 100, 32, _whole("mlp")
    ),
    "multimodal": Standard("Conv1d + GRU, GRU and attention, 10 of 80 clients", _SEQUENCES, 80, 10, 64, _MULTIMODAL),
    "unequal": Standard(
        "the same, shorter, with unequal sizes and lengths", _SHORT, 80, 10, 64, _MULTIMODAL, unequal=True
    ),
    "imputation": Standard(
        "FIN's stage 2, the imputation networks, 20 clients", _VECTORS, 20, 20, 32,
        {
            "method": {
                "name": "raysim.bench.only:Only", "stages": ["imputation"],
                "of": {"name": "feature_imputation", "layers": 3, "hidden": 128},
            },
            "model": {"dim": 32, "normalize": True},
        },
    ),
    "mapping": Standard(
        "FedRecon's stages 1 and 2, autoencoders and mappings, 20 clients", _VECTORS, 20, 20, 32,
        {
            "method": {
                "name": "raysim.bench.only:Only", "stages": ["generator", "mapping"],
                "of": {"name": "mvae_mapping", "hidden": 128, "map_hidden": 128, "latent": 32},
            },
        },
    ),
    "generator": Standard(
        "MoPoE, convolutions on three pictures, 8 clients",
        {f"m{i}": Modality("image", (3, 28, 28)) for i in range(3)}, 8, 8, 64,
        {
            "method": {"name": "generate", "generator": {"name": "mopoe", "latent": 32, "channels": [16, 32, 64]}},
            "federation": {"rounds": FOR_EVER, "optimizer": {"name": "adam", "lr": 0.001}},
        },
    ),
}  # fmt: skip


class Random(Source):
    """A job's data: random samples that belong to its clients."""

    class Options(Source.Options):
        """Which job."""

        job: str

    options: Options

    def load(self) -> Dataset:
        """Makes the dataset; the same bits each time."""
        job, rng = JOBS[self.options.job], stream(0, "bench")
        least = job.samples // 4 if job.unequal else job.samples
        clients = np.repeat(np.arange(job.clients), rng.integers(least, job.samples + 1, job.clients))
        train, test = _split(job, len(clients), rng, clients), _split(job, TESTED, rng)
        return Dataset(job.modalities, tuple(map(str, range(CLASSES))), False, train, test, test)


def trial_of(name: str) -> trial.Trial:
    """A job as a trial that never ends and never evaluates before that."""
    job = JOBS[name]
    scenario = Scenario.model_validate(
        {
            "name": name,
            "dataset": {"name": "raysim.bench.jobs:Random", "job": name},
            "partition": {"name": "natural"},
            "method": "zero_fill",
            "federation": {
                "rounds": FOR_EVER, "clients_per_round": job.cohort, "optimizer": {"name": "sgd", "lr": 0.01}
            },
            "evaluation": {"every_rounds": FOR_EVER},
            **job.settings,
        }
    )  # fmt: skip
    return trial.Trial(scenario, 0, {}, name, trial.Source(Path("bench"), {"": Place("bench")}))


def _split(job: Standard, count: int, rng: np.random.Generator, clients: Array | None = None) -> Split:
    seeded = torch.Generator().manual_seed(int(rng.integers(2**63)))
    inputs = {m: torch.randn(count, *spec.shape, generator=seeded).numpy() for m, spec in job.modalities.items()}
    lengths: dict[str, Array] = {}
    for name, spec in job.modalities.items():
        if spec.ordered:
            low = spec.shape[0] // 4 if job.unequal else spec.shape[0]
            lengths[name] = rng.integers(low, spec.shape[0] + 1, count)
    return Split(inputs, rng.integers(0, CLASSES, count), lengths, clients=clients)
