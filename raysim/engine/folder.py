"""A folder of a process's own, which the next process removes if this one is killed."""

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from raysim.disk import hold
from raysim.engine.environment import MAX_TEMP_PATH

_PREFIX, _ALIVE = "raysim-", ".alive"


@contextmanager
def own_folder() -> Generator[Path]:
    """A folder for temporary files, with a path short enough for sockets. Removes those of killed processes."""
    base = Path(tempfile.gettempdir())
    base = base if len(str(base)) <= MAX_TEMP_PATH else Path("/tmp")
    for mark in base.glob(f"{_PREFIX}*/{_ALIVE}"):
        with suppress(OSError):  # somebody else's, or gone by now
            if (dead := hold(mark)) is not None:
                shutil.rmtree(mark.parent, ignore_errors=True)
                dead.close()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    try:
        with hold(folder / ".new") or nullcontext():
            (folder / ".new").rename(folder / _ALIVE)  # with its lock: nobody sees it without
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
