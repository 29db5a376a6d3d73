"""Where raysim keeps what it has prepared."""

import os
from pathlib import Path

from raysim.data.dataset import DataError

CACHE = "RAYSIM_CACHE"
"""The environment variable that names the folder of all caches."""


def cache_folder(name: str) -> Path:
    """Where a dataset is prepared if nobody says otherwise: below $RAYSIM_CACHE, or ~/.cache/raysim.

    Raises:
        DataError: there is neither.
    """
    if cache := os.environ.get(CACHE):
        return Path(cache) / name
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home raises where there is none
    if not Path(home).is_absolute():
        raise DataError(f"there is no home folder to look for '{name}'; set {CACHE} to the folder of prepared datasets")
    return Path(home, ".cache", "raysim", name)
