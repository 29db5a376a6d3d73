"""Where raysim keeps what it has prepared."""

import os
from pathlib import Path

from raysim.data.dataset import DataError
from raysim.disk import local

CACHE = "RAYSIM_CACHE"
"""The environment variable that names the folder of all caches."""


def cache_folder(name: str) -> Path:
    """Where a dataset is prepared if nobody says otherwise: below $RAYSIM_CACHE, or ~/.cache/raysim.

    Raises:
        DataError: there is neither, or it is a URL.
    """
    if cache := os.environ.get(CACHE):
        try:
            return local(cache) / name
        except ValueError as error:
            raise DataError(f"{CACHE}: {error}") from error
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home raises where there is none
    if not Path(home).is_absolute():
        raise DataError(f"there is no home folder to look for '{name}'; set {CACHE} to the folder of prepared datasets")
    return Path(home, ".cache", "raysim", name)
