"""What Ray reads from the environment when it is imported; so this module does not import it."""

import os
import secrets

DIRECT_BYTES = 4 << 20
"""An answer up to this size comes with the message, which is faster than the object store; Ray's default is 100 kB."""
MAX_TEMP_PATH = 60
"""Ray makes Unix sockets below its folder, whose whole path may have 107 bytes; a longer folder for temporary files
gives way to /tmp."""


class NoCluster(RuntimeError):
    """Ray could not be started or reached; one line with the reason."""


def use_own_cluster() -> None:
    """A local cluster is for this process and its children alone; to be called before Ray is imported."""
    os.environ.setdefault("RAY_max_direct_call_object_size", str(DIRECT_BYTES))
    os.environ.setdefault("RAY_task_events_report_interval_ms", "0")  # nobody asks Ray what its tasks did
    os.environ.setdefault("RAY_enable_metrics_collection", "0")  # nor for any figures
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
