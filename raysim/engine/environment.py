"""What Ray reads from the environment when it is imported; so this module does not import it."""

import os
import secrets
import sys
from typing import Any

DIRECT_BYTES = 4 << 20
"""An answer up to this size comes with the message, which is faster than the object store; Ray's default is 100 kB."""
MAX_TEMP_PATH = 60
"""Ray makes Unix sockets below its folder, whose whole path may have 107 bytes; a longer folder for temporary files
gives way to /tmp."""


_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets it for what `ray job submit` runs."""
ADDRESS_HELP = "An existing Ray cluster: auto or HOST:PORT; RAY_ADDRESS if not given."


class NoCluster(RuntimeError):
    """Ray could not be started or reached; one line with the reason."""


class NobodyThere(NoCluster):
    """Nothing answers as a Ray cluster where one should be."""


class ClusterLost(RuntimeError):
    """A cluster has gone while a study ran; one line with the command to go on."""


def named(address: str | None) -> str | None:
    """The Ray cluster that is meant, by Ray's own rule: RAY_ADDRESS stands for none and for `auto`.

    Returns:
        `auto` or an address; None for a cluster of our own, or for the one that this process has already. Inside
        `ray job submit` it is the job's.
    """
    ray: Any = sys.modules.get("ray")
    if address is None and ray is not None and ray.is_initialized():
        return None
    if address in (None, "auto"):
        address = os.environ.get("RAY_ADDRESS") or address or ("auto" if _JOB in os.environ else None)
    return None if address == "local" else address


def use_own_cluster() -> None:
    """A local cluster is for this process and its children alone; to be called before Ray is imported."""
    os.environ.setdefault("RAY_max_direct_call_object_size", str(DIRECT_BYTES))
    os.environ.setdefault("RAY_task_events_report_interval_ms", "0")  # nobody asks Ray what its tasks did
    os.environ.setdefault("RAY_enable_metrics_collection", "0")  # nor for any figures
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
