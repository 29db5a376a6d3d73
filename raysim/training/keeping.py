"""A round's networks on their way into a file, and back; see `raysim.training.kept`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from raysim.data.dataset import Array
from raysim.data.scores import Scaling, Together
from raysim.data.seen import seen
from raysim.models.encoder import fixed_tensors
from raysim.models.whole import WholeEncoder
from raysim.training.job import Job
from raysim.training.kept import FORMAT, Kept, ModelError, key
from raysim.training.results import PRIVATE, Broadcast, ClientState, Flat
from raysim.version import VERSION

VERSIONS = {"raysim": VERSION, "torch": str(torch.__version__), "numpy": np.__version__}
"""What last digits depend on."""


def saved(job: Job, broadcast: Broadcast) -> bytes:
    """The file of a round's global networks."""
    dataset, trial = job.data.dataset, job.trial
    groups = {name: _tensors(job, name, broadcast) for name in job.groups if name in broadcast.x or name in job.frozen}
    said = {
        "format": FORMAT,
        "scenario": _scenario(job),
        "seed": trial.seed,
        "trial": trial.name,
        "round": broadcast.round,
        "phase": broadcast.phase,
        "modalities": {m: asdict(spec) for m, spec in dataset.modalities.items()},
        "classes": list(dataset.classes),
        "multi_label": dataset.multi_label,
        "targets": list(dataset.targets),
        "scaling": {m: _plain(s) for m, s in dataset.scaling.items()},
        "seen": {m: asdict(spec) for m, spec in seen(dataset).items()},
        "learnt": {name: name not in broadcast.x or _learnt(job, name, broadcast.x[name]) for name in groups},
        "groups": {name: list(tensors) for name, tensors in groups.items()},
        "versions": VERSIONS,
    }
    arrays = {key(name, n): array for name, tensors in groups.items() for n, array in tensors.items()}
    return save(arrays, {"raysim": json.dumps(said)})


def _scenario(job: Job) -> dict[str, Any]:
    """The scenario, in which networks of other libraries are described: their weights are in this file."""
    said: dict[str, Any] = job.scenario.model_dump(mode="json")
    for name in job.scenario.model.encoders:
        group = job.groups.get(f"task.{name}")
        if group is not None and isinstance(group.net, WholeEncoder):
            said["model"]["encoders"][name] |= group.net.described()
    return said


def private(states: Mapping[int, ClientState]) -> dict[str, Flat]:
    """The clients' own groups: `<client>/<group>` -> (P,) float32."""
    return {
        f"{client}/{name.removeprefix(PRIVATE)}": flat
        for client, state in sorted(states.items())
        for name, flat in state.items()
        if name.startswith(PRIVATE)
    }


def _plain(scaling: Scaling | Together) -> Any:
    return {k: v.tolist() for k, v in vars(scaling).items()} if isinstance(scaling, Scaling) else scaling


def _tensors(job: Job, name: str, broadcast: Broadcast) -> dict[str, Array]:
    """A group's tensors by name, of which those that are frozen come last."""
    layout, found = job.layouts[name], dict[str, Array]()
    if name in broadcast.x:
        tensors = layout.split(torch.from_numpy(np.array(broadcast.x[name])))
        found = {n: tensor.numpy() for n, tensor in zip(layout.names, tensors, strict=True)}
    return found | {n: tensor.numpy() for n, tensor in fixed_tensors(job.groups[name].net).items()}


def networks(job: Job, kept: Kept) -> Broadcast:
    """Kept networks as an evaluation gets them; what is frozen, or a client's own, is written into the job's.

    Raises:
        ModelError: the method's networks are others now.
    """
    x: dict[str, Flat] = {}
    for name in dict.fromkeys([*job.shared, *job.frozen]):
        layout, fixed = job.layouts[name], fixed_tensors(job.groups[name].net)
        shapes = dict(zip(layout.names, layout.shapes, strict=True)) | {n: tuple(t.shape) for n, t in fixed.items()}
        tensors = kept.of_group(name, shapes)
        for n, tensor in fixed.items():
            tensor.copy_(torch.from_numpy(tensors[n]))
        if name in job.shared:
            x[name] = np.concatenate([tensors[n].reshape(-1) for n in layout.names])
    for name, flat in kept.private.items():
        layout = job.layouts[name]
        if flat.shape != (layout.size,):
            raise ModelError(f"{kept.path}: has {flat.size:,} numbers for '{name}', and {layout.size:,} are needed")
        for here, there in zip(layout.tensors(job.groups[name].net), layout.split(torch.from_numpy(flat)), strict=True):
            here.detach().copy_(there)
    return Broadcast(kept.phase, kept.round, x)


def _learnt(job: Job, name: str, flat: Flat) -> bool:
    """Whether a group's network is no longer as the trial began; see `Networks.learnt`."""
    layout, group = job.layouts[name], job.groups[name]
    first = layout.flatten(layout.tensors(group.net)).numpy()
    count = layout.parameters or layout.size
    return group.pretrained or not np.array_equal(flat[:count], first[:count])
