"""A Ray cluster for one study: a local one of our own, or one that exists already."""

import os
import signal
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import ray
from ray.exceptions import RayError
from ray.job_config import JobConfig

from raysim.engine.bound import LOOPBACK, bounded, check_loopback, end_marked
from raysim.engine.environment import NoCluster
from raysim.engine.folder import own_folder
from raysim.engine.helpers import lean, no_helpers
from raysim.engine.hush import hushed
from raysim.engine.knock import knock
from raysim.engine.membership import alive, asks_again_s
from raysim.engine.nodes import Cluster, Node
from raysim.engine.nursery import open_nursery
from raysim.scenario.errors import one_line

_ray: Any = ray  # only partly typed
_MARK = "RAYSIM_CLUSTER"
NAMED = 2
"""Other jobs that are named where there is no room."""


@contextmanager
def cluster(address: str | None) -> Generator[Cluster]:
    """Connects to Ray, or starts it on this machine alone, and leaves it as it was found.

    Args:
        address: None for the one that this process has already, or else a local one; `auto` or `HOST:PORT` for one
            that is running.

    Raises:
        NoCluster: there is none at the address, or none can be started.
    """
    if address is None and _ray.is_initialized():
        with _stoppable():
            yield seen()
        return
    with nullcontext() if address else own_folder() as folder:
        workers = None
        try:
            if folder is not None:
                with _marked(folder.name):
                    workers = open_nursery(folder)
            _start(address, folder)
            with _stoppable():
                yield seen()
        finally:
            ray.shutdown()
            if workers is not None:
                workers.close()
            if folder is not None:
                end_marked(_MARK, folder.name)


def seen() -> Cluster:
    """What Ray offers by now, and what is used of it; all is free of a node of which it has not heard yet."""
    here: str = _ray.get_runtime_context().get_node_id()
    free: dict[str, dict[str, float]] = _ray._private.state.available_resources_per_node()
    nodes = [_used(node, free[node.id]) if node.id in free else node for node in alive()]
    return Cluster(tuple(sorted(nodes, key=lambda node: (node.id != here, node.name, node.id))), asks_again_s())


def _used(node: Node, free: Mapping[str, float]) -> Node:
    cpus, gpus = (round(total - free.get(what, 0.0), 4) for total, what in ((node.cpus, "CPU"), (node.gpus, "GPU")))
    return replace(node, used_cpus=cpus, used_gpus=gpus)


def company() -> str:
    """What else runs on the cluster, and from where, in a few words; empty where nothing does."""
    own: str = _ray.get_runtime_context().get_job_id()
    jobs: list[dict[str, Any]] = _ray._private.state.jobs()
    others = [job for job in jobs if not job["IsDead"] and job["JobID"] != own]
    told = [f"'{one_line(job['Entrypoint'])[:60]}' on {job['DriverIPAddress']}" for job in others[:NAMED]]
    return " and ".join([*told, *([f"{len(others) - NAMED} more"] if len(others) > NAMED else [])])


def _start(address: str | None, folder: Path | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    # Else Ray prints a coloured line to standard output whenever a worker dies; what matters reaches us as an error.
    _ray._private.worker._worker_logs_enabled = False
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of tasks whose error another one has told already
    if address:
        knock(address)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if address:
                ray.init(address=address, job_config=_alike(), **quiet)
            else:
                own: dict[str, Any] = {"include_dashboard": False, "_temp_dir": str(folder)}
                assert folder is not None, "a cluster of our own has one"
                check_loopback(LOOPBACK)
                with (
                    _uninterrupted(), _alone(), _marked(folder.name), no_helpers(), lean(folder), hushed(folder),
                    bounded(folder),
                ):  # fmt: skip
                    ray.init(address="local", _node_ip_address=LOOPBACK, job_config=_alike(), **own, **quiet)
    except (RayError, OSError, RuntimeError, ValueError) as error:
        where = f"no Ray cluster at '{address}'" if address else "Ray did not start"
        raise NoCluster(f"{where}: {' '.join(str(error).split())[:300]}") from error


def _alike() -> JobConfig:
    """Workers import what the driver imports: else Ray puts the current folder first on their path.

    A folder `raysim` there, or a file such as `random.py`, would hide a module. Ray leaves it out for a client's jobs,
    and asks for nothing else whether a job is one.
    """
    return JobConfig(_client_job=True)


@contextmanager
def _uninterrupted() -> Generator[None]:
    """Ctrl-C waits for the end of the block: a start of Ray that is cut short leaves processes behind, or crashes."""
    pressed: list[int] = []
    if current_thread() is not main_thread():  # signals are none of its business
        yield
        return
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


@contextmanager
def _stoppable() -> Generator[None]:
    """The end of a terminal, or of a batch job's time, is a Ctrl-C: it ends cleanly. Ray would end the process.

    What is ignored already (`nohup`) stays so.
    """

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGTERM, signal.SIGHUP) if current_thread() is main_thread() else ()
    heard = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _marked(name: str) -> Generator[None]:
    """What starts in the block, and what that starts, has our mark in its environment."""
    os.environ[_MARK] = name
    try:
        yield
    finally:
        os.environ.pop(_MARK, None)


@contextmanager
def _alone() -> Generator[None]:
    """A Ray cluster that starts in the block listens on the loopback interface only.

    On Linux `ray.init` replaces a loopback address of a node by the machine's own, for the sake of machines that join
    later, and then listens on all interfaces. On macOS and Windows no machine can join: there it keeps the address,
    and every process of Ray listens on it alone. This constant is all that differs.
    """
    constants = _ray._private.ray_constants
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before
