"""What Ray starts in place of a worker: has one forked from the nursery, and ends. Imports nothing that takes time.

Where there is no nursery, or the worker shall be another one than those, it becomes what Ray would have started.
"""

import array
import json
import os
import socket
import sys
from pathlib import Path

NURSERY, SETUP = "RAYSIM_NURSERY", "RAYSIM_NURSERY_ELSE"
"""The environment variables that have the nursery's socket, and the file that Ray would have run."""
OOM = Path("/proc/self/oom_score_adj")
_CONTEXT, _LANGUAGE = "--serialized-runtime-env-context=", "--language="


def main() -> None:
    """Sends what makes a process to the nursery: its words, folder, environment and open files."""
    words = sys.argv[1:]
    plain = [word for word in words if not word.startswith((_CONTEXT, _LANGUAGE))]
    wishes = [word.removeprefix(_CONTEXT) for word in words if word.startswith(_CONTEXT)]
    if f"{_LANGUAGE}PYTHON" in words and not any(map(_asks, wishes)):
        try:
            _send(plain)
        except OSError:  # it has gone, or never was
            pass
        else:
            return
    os.execv(sys.executable, [sys.executable, os.environ[SETUP], *words])


def _asks(wish: str) -> bool:
    """Whether a worker's surroundings differ from those of others."""
    asked = json.loads(wish)
    return any(value for key, value in asked.items() if key != "py_executable")


def _send(words: list[str]) -> None:
    wanted = {
        "words": words, "folder": str(Path.cwd()), "environment": dict(os.environ),
        "nice": os.getpriority(os.PRIO_PROCESS, 0), "oom": OOM.read_text("ascii"),
    }  # fmt: skip
    with socket.socket(socket.AF_UNIX) as there:
        there.connect(os.environ[NURSERY])
        files = array.array("i", [0, 1, 2])
        there.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
        there.sendall(json.dumps(wanted).encode())
        there.shutdown(socket.SHUT_WR)
        if not there.recv(1):
            raise ConnectionError("the nursery has closed")


if __name__ == "__main__":
    main()
