"""A process that imports what Ray's workers import, once: on Linux those of a cluster of our own are forked from it.

Torch alone takes 130 MB and seconds in each process that imports it. What is forked shares the memory until somebody
writes there, and is there at once. The nursery has one thread, computes nothing, and ends with the driver.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from raysim.engine.newborn import OOM

FIRST = ("raysim.simulation.simulation", "raysim.training.trainer", "raysim.evaluation.slices")
LATER = ("raysim.engine.server", "ray._private.workers.default_worker")
"""What is imported at once, and what imports Ray, which then reads its settings: when the first worker brings them."""
ANY_JOB = {"RAY_JOB_ID": "ffffffff"}
"""The environment of a worker that Ray has started before it knows for what."""
SOCKET = "nursery.sock"
GPUS = Path("/dev/nvidiactl")
"""What there is where NVIDIA's driver is at work."""
_STANDARD = (0, 1, 2)


def open_nursery(folder: Path) -> "subprocess.Popen[bytes] | None":
    """Begins to import, aside; on Linux without GPUs, on which nobody has tried it.

    Its socket is below the folder, and there at once: who asks early waits.
    """
    if sys.platform != "linux" or GPUS.exists():
        return None
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(folder / SOCKET))
        door.listen(128)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(door.fileno())], pass_fds=(door.fileno(),),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"OMP_NUM_THREADS": "1", **os.environ}, start_new_session=True,
        )  # fmt: skip


def close_nursery(process: "subprocess.Popen[bytes] | None") -> None:
    """Ends it. Where nobody does, it ends with this process, whose pipe it holds."""
    if process is not None:
        process.kill()
        process.communicate()


@dataclass(frozen=True)
class Birth:
    """What makes a worker.

    Attributes:
        words: of its command line.
        folder: where it works.
        environment: its variables.
        nice: how much it gives way to others.
        oom: how soon it is ended where memory is short, as /proc has it.
        files: its standard ones.
    """

    words: list[str]
    folder: str
    environment: dict[str, str]
    nice: int
    oom: str
    files: list[int]

    @classmethod
    def asked(cls, asking: socket.socket) -> Self:
        """What `newborn` has sent."""
        _, files, _, _ = socket.recv_fds(asking, 1, len(_STANDARD))
        with asking.makefile("rb") as sent:
            return cls(**json.loads(sent.read()), files=files)

    def become(self) -> None:
        """Makes this process one in which the worker can start; Ray ends a dead worker's whole process group."""
        os.setpgid(0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for file, standard in zip(self.files, _STANDARD, strict=True):
            os.dup2(file, standard)
        take(self.environment)
        os.chdir(self.folder)
        os.setpriority(os.PRIO_PROCESS, 0, self.nice)
        with suppress(OSError):  # some containers forbid it
            OOM.write_text(self.oom, "ascii")
        sys.argv = self.words

    def close(self) -> None:
        """Forgets its files."""
        for file in self.files:
            os.close(file)


def main(descriptor: int) -> None:
    """Imports, and then forks a worker whenever one is asked for."""
    prepare(FIRST)
    with socket.socket(fileno=descriptor) as door:
        birth = serve(door)
    if birth is not None:
        runpy.run_path(birth.words[0], run_name="__main__")


def serve(door: socket.socket) -> Birth | None:
    """Forks until standard input ends. Returns in each child, with what it shall be; in the parent at the end: None."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    known: Mapping[str, str] | None = None
    while sys.stdin not in (ready := select.select([door, sys.stdin], [], [])[0]):
        assert ready, "there is no time limit"
        with door.accept()[0] as asking:
            birth = Birth.asked(asking)
            if known is None:
                known = of_ray(birth.environment)
                take(birth.environment | ANY_JOB)
                prepare(LATER)
            if of_ray(birth.environment) == known:  # else it closes without a word, and Ray's own way remains
                if os.fork() == 0:
                    birth.become()
                    return birth
                asking.sendall(b".")
        birth.close()
    return None


def prepare(names: tuple[str, ...]) -> None:
    """Imports modules. The garbage collector writes to all that it looks at: it shall leave alone what is shared."""
    for name in names:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def of_ray(environment: Mapping[str, str]) -> Mapping[str, str]:
    """What Ray reads once, when it is imported, and is the same for all workers."""
    return {name: value for name, value in environment.items() if name.startswith("RAY_") and name not in ANY_JOB}


def take(environment: Mapping[str, str]) -> None:
    """This process's environment is that one from here."""
    os.environ.clear()
    os.environ.update(environment)


if __name__ == "__main__":
    main(int(sys.argv[1]))
