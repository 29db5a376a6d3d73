"""A process that has imported what Ray's workers import: on Linux those of a cluster of our own are forked from it.

Torch alone takes 130 MB and seconds in each process that imports it. What is forked shares the memory until somebody
writes there, and is there at once. The command line's driver forks the nursery, too, before it has threads of its own
(`bear`); elsewhere, as in a notebook, the nursery is a process that imports for itself. It has one thread, computes
nothing, and ends with the driver, its workers with it.
"""

import atexit
import gc
import importlib.util
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import threadpoolctl

from raysim.engine.birth import STANDARD, Birth, take
from raysim.engine.bound import LEAVE_S, end_children
from raysim.engine.heap import give_back, one_arena

FIRST = ("raysim.simulation.simulation", "raysim.training.trainer", "raysim.evaluation.slices")
LATER = ("raysim.engine.server", "ray._private.workers.default_worker")
"""What is imported at once, and what imports Ray, which then reads its settings: when the first worker brings them."""
OF_RAY = ("requests", "jsonschema", "google.protobuf.json_format", "pydantic.v1", "PIL.Image", "filelock")
"""What Ray imports for its part, where it is installed: 10 MB that the driver need not have for itself."""
ANY_JOB = {"RAY_JOB_ID": "ffffffff"}
"""The environment of a worker that Ray has started before it knows for what."""
SOCKET = "nursery.sock"
GPUS = Path("/dev/nvidiactl")
"""What there is where NVIDIA's driver is at work."""
_threadpools: Any = threadpoolctl  # only partly typed
_TASKS = Path("/proc/self/task")
_MOST_FILES = 1 << 16
"""Above the numbers of all files that a driver has opened when it forks."""


@dataclass(frozen=True)
class Nursery:
    """The driver's end.

    Attributes:
        pid: of the process.
        line: by which it hears of its door; it ends where this does.
        done: whether the process has ended; it can be asked until it has.
    """

    pid: int
    line: socket.socket
    done: Callable[[], bool]

    def open(self, folder: Path) -> None:
        """Its socket is below the folder, and there at once: who asks early waits."""
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(folder / SOCKET))
            door.listen(128)
            socket.send_fds(self.line, [b"."], [door.fileno()])

    def close(self) -> None:
        """Ends it, and the workers that do not end themselves."""
        self.line.close()
        until = time.monotonic() + 2 * LEAVE_S
        while not self.done():
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.02)


_born: list[Nursery] = []


def bear() -> None:
    """Forks the nursery from this process, which has imported torch and raysim then, for a cluster of its own.

    To be called before there is anything that a fork would break: nothing happens where there are threads, but for
    those of NumPy's BLAS, which is made for it, where Ray has been imported, or where `open_nursery` would start none.
    """
    if _born or not _possible() or "ray" in sys.modules or not _alone():
        return
    one_arena()
    prepare((*FIRST, *filter(_installed, OF_RAY)))
    if not _alone():
        return
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads; see above
        pid = os.fork()
    if pid == 0:
        _live(theirs)
    theirs.close()
    _born.append(Nursery(pid, ours, partial(_ended, pid)))


def open_nursery(folder: Path) -> Nursery | None:
    """The one that was born, or one that begins to import, aside; on Linux without GPUs, where it was tried."""
    if not _possible():
        return None
    nursery = _born.pop() if _born else None
    if nursery is None or nursery.done():
        nursery = _started()
    nursery.open(folder)
    return nursery


def _possible() -> bool:
    return sys.platform == "linux" and not GPUS.exists()


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name.partition(".")[0]) is not None


def _alone() -> bool:
    pools = [pool for pool in _threadpools.threadpool_info() if pool["internal_api"] == "openblas"]
    idle = sum(pool["num_threads"] - 1 for pool in pools)
    return threading.active_count() == 1 and len(list(_TASKS.iterdir())) <= 1 + idle


def _started() -> Nursery:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(theirs.fileno())], pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"OMP_NUM_THREADS": "1", **os.environ}, start_new_session=True,
        )  # fmt: skip
    return Nursery(process.pid, ours, lambda: process.poll() is not None)


def _ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # somebody wants to know of no child's end
        return not Path(f"/proc/{pid}").exists()


def main(descriptor: int) -> None:
    """Imports, and then forks a worker whenever one is asked for."""
    prepare(FIRST)
    _work(socket.socket(fileno=descriptor))


def _live(line: socket.socket) -> NoReturn:
    """What a fork of the driver does: it has no files of the driver's, nor what is to do at exit, and never goes on."""
    exits: Any = atexit  # only partly typed
    status: Any = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in STANDARD:
            os.dup2(nothing, standard)
        os.closerange(len(STANDARD), line.fileno())
        os.closerange(line.fileno() + 1, _MOST_FILES)
        exits._clear()
        if "OMP_NUM_THREADS" not in os.environ:
            _threadpools.threadpool_limits(1)
        _work(line)
        status = 0
    except SystemExit as end:
        status = end.code or 0
    except BaseException:  # noqa: BLE001 - nothing may come back to the driver's code
        traceback.print_exc()
    finally:
        try:
            exits._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status if isinstance(status, int) else 1)


def _work(line: socket.socket) -> None:
    """Serves, and is a worker then where this is one."""
    with line:
        birth = serve(line)
    if birth is None:
        end_children()
    else:
        runpy.run_path(birth.words[0], run_name="__main__")


def serve(line: socket.socket) -> Birth | None:
    """Forks until the line ends. Returns in each child, with what it shall be; in the parent at the end: None."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    word, doors, _, _ = socket.recv_fds(line, 1, 1)
    if not word:
        return None
    known: Mapping[str, str] | None = None
    with socket.socket(fileno=doors[0]) as door:
        while line not in (ready := select.select([door, line], [], [])[0]):
            assert ready, "there is no time limit"
            with door.accept()[0] as asking:
                birth = Birth.asked(asking)
                if known is None:
                    known = of_ray(birth.environment)
                    take(birth.environment | ANY_JOB)
                    prepare(LATER)
                    give_back()
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


if __name__ == "__main__":
    main(int(sys.argv[1]))
