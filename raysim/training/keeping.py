"""A round's networks on their way into a file, and back; see `raysim.training.kept`."""

import json
from dataclasses import asdict

import numpy as np
import torch
from safetensors.numpy import save

from raysim.data.dataset import Array
from raysim.training.job import Job
from raysim.training.kept import FORMAT, Kept, key
from raysim.training.results import Broadcast, Flat
from raysim.version import VERSION


def saved(job: Job, broadcast: Broadcast) -> bytes:
    """The file of a round's global networks."""
    dataset, trial = job.data.dataset, job.trial
    said = {
        "format": FORMAT,
        "scenario": trial.scenario.model_dump(mode="json"),
        "seed": trial.seed,
        "trial": trial.name,
        "round": broadcast.round,
        "phase": broadcast.phase,
        "modalities": {m: asdict(spec) for m, spec in dataset.modalities.items()},
        "classes": list(dataset.classes),
        "multi_label": dataset.multi_label,
        "scaling": {m: {k: v.tolist() for k, v in vars(s).items()} for m, s in dataset.scaling.items()},
        "learnt": {name: _learnt(job, name, flat) for name, flat in broadcast.x.items()},
        "groups": {name: list(job.layouts[name].names) for name in broadcast.x},
        "versions": {"raysim": VERSION, "torch": str(torch.__version__), "numpy": np.__version__},
    }
    arrays: dict[str, Array] = {}
    for name, flat in broadcast.x.items():
        layout = job.layouts[name]
        for n, tensor in zip(layout.names, layout.split(torch.from_numpy(np.array(flat))), strict=True):
            arrays[key(name, n)] = tensor.numpy()
    return save(arrays, {"raysim": json.dumps(said)})


def networks(job: Job, kept: Kept) -> Broadcast:
    """Kept networks as an evaluation gets them.

    Raises:
        ModelError: the method's networks are others now.
    """
    x: dict[str, Flat] = {}
    for name in job.shared:
        layout = job.layouts[name]
        tensors = kept.of_group(name, dict(zip(layout.names, layout.shapes, strict=True)))
        x[name] = np.concatenate([t.reshape(-1) for t in tensors.values()])
    return Broadcast(kept.phase, kept.round, x)


def _learnt(job: Job, name: str, flat: Flat) -> bool:
    """Whether a group's network is no longer as the trial began; see `Networks.learnt`."""
    layout, group = job.layouts[name], job.groups[name]
    first = layout.flatten(layout.tensors(group.net)).numpy()
    count = layout.parameters or layout.size
    return group.pretrained or not np.array_equal(flat[:count], first[:count])
