"""A service for data preparation: some work on many chunks, spread over a Ray cluster."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Self

import ray
from ray.exceptions import RayError, RayTaskError

from raysim.data.dataset import DataError
from raysim.data.extraction import Part, Work
from raysim.engine.session import cluster

_ray: Any = ray  # only partly typed
MAX_FAILURES = 3
"""How often a chunk is done again after its process died."""
PATIENCE_S = 1800.0
"""Longest wait for any chunk: weights may have to be downloaded first."""
_opened: dict[str, Work] = {}


def spread(work: Work, chunks: Sequence[Sequence[Any]], *, workers: int | None) -> Iterator[tuple[int, Part]]:
    """Does the work in other processes; Ray must be connected.

    Args:
        work: what to do with a chunk.
        chunks: the items.
        workers: how many processes; None for one a core, or one a GPU for extractors that use them.

    Raises:
        DataError: an extractor cannot be opened, its process dies again and again, or nothing comes back.
    """
    resources: dict[str, float] = _ray.cluster_resources()
    gpus = resources.get("GPU", 0.0) if work.extractor.gpu else 0.0
    count = workers or int(gpus or resources.get("CPU", 1.0))
    remote = _ray.remote(_one).options(num_cpus=1, num_gpus=min(1.0, gpus / count), max_retries=MAX_FAILURES)
    shared = _ray.put(work)
    token, paths = shared.hex(), tuple(sys.path)
    waiting, under_way = iter(enumerate(chunks)), dict[Any, int]()
    try:
        while True:
            while len(under_way) < count and (task := next(waiting, None)) is not None:
                under_way[remote.remote(token, paths, [shared], task[1])] = task[0]
            if not under_way:
                return
            ready, _ = _ray.wait(list(under_way), timeout=PATIENCE_S)
            if not ready:
                raise DataError(f"{len(chunks[0])} items took a process over {PATIENCE_S:g} s; see Ray's own logs")
            for reference in ready:
                yield under_way.pop(reference), _answer(reference)
    finally:
        for reference in under_way:
            _ray.cancel(reference, force=True)


def _answer(reference: Any) -> Part:
    try:
        return _ray.get(reference)
    except RayTaskError as error:
        cause: Any = error.cause
        if isinstance(cause, DataError):
            raise cause from None
        raise
    except RayError as error:
        raise DataError(
            f"extraction: {' '.join(str(error).split())[:300]}; run it again with fewer --workers"
        ) from error


def _one(token: str, paths: Sequence[str], shared: Sequence[Any], items: Sequence[Any]) -> Part:
    """In a worker process: opens the extractor once, which may lie where the driver finds it."""
    if token not in _opened:
        sys.path.extend(p for p in paths if p not in sys.path)
        work: Work = _ray.get(shared[0])
        _opened.clear()
        work.extractor.open()
        _opened[token] = work
    return _opened[token](items)


class OnRay:
    """A mapper on a Ray cluster that is started, or joined, at the first use.

    Args:
        workers: how many processes; None for one a core, or one a GPU for extractors that use them.
        address: of an existing cluster; None for one on this machine alone.
    """

    def __init__(self, workers: int | None, address: str | None) -> None:
        self._workers, self._address = workers, address
        self._open = ExitStack()
        self._connected = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *what: object) -> None:
        self._open.close()

    def __call__(self, work: Work, chunks: Sequence[Sequence[Any]]) -> Iterator[tuple[int, Part]]:
        """Spreads the work.

        Raises:
            NoCluster: Ray cannot be started or reached.
        """
        if not self._connected:
            self._open.enter_context(cluster(self._address))
            self._connected = True
        return spread(work, chunks, workers=self._workers)
