"""Keeps to itself what Ray's own code writes to standard error while it starts."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

# Ray's code may end this process without a word to Python; then nobody but another process can say why.
_HEIR = """
import os, sys
if not sys.stdin.buffer.read():
    lines = [line for line in open("start.log", errors="replace").read().splitlines() if line.strip()]
    reason = lines[-1].rpartition("] ")[2] if lines else "it ended the process"
    os.write(2, f"Ray did not start: {reason[:300]}\\n".encode())
"""


@contextmanager
def hushed(folder: Path) -> Generator[None]:
    """Standard error goes to a file in a folder inside the block. If the process ends there, its last line is said."""
    log = folder / "start.log"
    log.touch()
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _HEIR], stdin=subprocess.PIPE, cwd=folder, start_new_session=True
    ) as heir:
        kept, file = os.dup(2), os.open(log, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, 2)
        os.close(file)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            heir.communicate(b"it is said otherwise")
