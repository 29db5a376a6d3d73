"""A bound on how long Ray may take to start: it waits for its own processes again and again, for hours if need be."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
VARIABLE = "RAYSIM_START_TIMEOUT_S"
"""The environment variable that lets a slow machine take longer."""
START_TIMEOUT_S = 35.0
GRACE_S = 45.0
"""Ray's own code looks for signals at least that often; what is late by more is ended as a whole."""
KNOCK_TIMEOUT_S = 3.0
LEAVE_S = 2.0
"""For so long processes may be about to end."""
_WAITED = {
    "gcs_server": "its control service",
    "raylet": "its node service",
}
"""Ray's processes, in the order of their start -> what to call them."""


class Late(RuntimeError):
    """Ray was not ready in time; one line: what it waited for."""


class _Bell(BaseException):
    """Time is up. Ray's code catches every Exception, and tries again."""


def check_loopback(address: str) -> None:
    """Whether processes of this machine can reach each other.

    Raises:
        OSError: they cannot; says what to do.
    """
    try:
        with socket.create_server((address, 0)) as server:
            server.settimeout(KNOCK_TIMEOUT_S)
            socket.create_connection(server.getsockname()[:2], KNOCK_TIMEOUT_S).close()
            server.accept()[0].close()
    except OSError as error:
        raise OSError(
            f"processes cannot reach each other at {address} ({error.strerror or error}); bring the loopback interface "
            "up: ip link set lo up"
        ) from error


@contextmanager
def bounded(folder: Path) -> Generator[None]:
    """Ends the block, and the processes that it has started below a folder, when it takes too long or fails.

    In the main thread only. Where nothing else helps, the whole process ends, with the same line and status 2.

    Raises:
        Late: it took too long.
    """
    seconds, over = _seconds(), threading.Event()

    def ring(*_: object) -> None:
        raise _Bell

    def end() -> None:
        if not over.wait(seconds + GRACE_S):
            line = _late(folder, seconds)
            end_processes(folder)
            os.write(2, f"{line}\n".encode())  # said by `hushed`
            os._exit(2)

    threading.Thread(target=end, daemon=True).start()
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    ready = False
    try:
        yield
        ready = True
    except _Bell:
        raise Late(_late(folder, seconds)) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        over.set()
        if not ready:
            end_processes(folder)


def end_processes(folder: Path) -> None:
    """Ends the processes that this one has started and that work below a folder."""
    for pid in started(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def end_marked(variable: str, value: str) -> None:
    """Ends the processes that started with a variable in their environment; those that are about to end may, first.

    A worker of Ray 2.60 can hang at its end, for ever, when the machine is busy. Does nothing without /proc.
    """
    _end(lambda: _having(f"{variable}={value}".encode()))


def end_children() -> None:
    """The same of the processes that this one has forked."""
    _end(lambda: [pid for pid, parent in parents() if parent == os.getpid()])


def _end(there: Callable[[], list[int]]) -> None:
    until = time.monotonic() + LEAVE_S
    while (left := there()) and time.monotonic() < until:
        time.sleep(0.02)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _having(mark: bytes) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended just now, or somebody else's
            if mark in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
    return found


def started(folder: Path) -> dict[int, str]:
    """Process id -> command line, of this process's children that work below a folder; none without /proc."""
    found: dict[int, str] = {}
    for pid, parent in parents():
        with suppress(OSError):  # ended just now
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if parent == os.getpid() and str(folder) in line:
                found[pid] = line
    return found


def parents() -> Iterator[tuple[int, int]]:
    """Of all processes, their id and their parent's."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # ended just now
            yield int(path.parent.name), int(path.read_text("utf-8", "replace").rpartition(")")[2].split()[1])


def _late(folder: Path, seconds: float) -> str:
    lines = started(folder).values()
    waiting = [what for name, what in _WAITED.items() if any(f"/{name} " in line for line in lines)]
    what = f"{waiting[-1]} has started and does not answer" if waiting else "none of its processes is there"
    return f"not ready after {seconds:g} s: {what}; set {VARIABLE} to let it take longer"


def _seconds() -> float:
    try:
        return max(float(os.environ.get(VARIABLE, "")), 1.0)
    except ValueError:
        return START_TIMEOUT_S
