"""What there is to run on, without running anything: this machine as Ray would find it, or a cluster that runs."""

import platform
from typing import Any

import ray
import torch

from raysim.engine.nodes import Cluster, Node
from raysim.engine.session import cluster

_ray: Any = ray  # only partly typed


def this_machine() -> Cluster:
    """Cores as Ray counts them (a container's limit is one), GPUs that torch sees, and the memory that is free."""
    utils = _ray._private.utils
    cpus, memory = utils.get_num_cpus(), utils.estimate_available_memory()
    cuda: Any = torch.cuda  # only partly typed
    gpus = cuda.device_count()
    model = cuda.get_device_name(0) if gpus else ""
    gpu_bytes = float(cuda.get_device_properties(0).total_memory) if gpus else None
    return Cluster((Node("0", platform.node() or "here", cpus, gpus, float(memory), model, gpu_bytes=gpu_bytes),))


def reached(address: str) -> Cluster:
    """What the cluster at an address has.

    Raises:
        NoCluster: there is none.
    """
    with cluster(address) as found:
        return found
