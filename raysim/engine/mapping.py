"""A service for data preparation: some work on many chunks, spread over a Ray cluster."""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import ray
from ray.exceptions import RayError, RayTaskError

from raysim.data.dataset import DataError
from raysim.data.extraction import Part, Work
from raysim.engine.likeness import Unlike
from raysim.engine.membership import alive
from raysim.engine.needs import compared
from raysim.engine.seats import Places
from raysim.engine.session import cluster
from raysim.engine.shipping import Code

_ray: Any = ray  # only partly typed
MAX_FAILURES = 3
"""How often a chunk is done again after its process died."""
PATIENCE_S = 1800.0
"""Longest wait for any chunk: weights may have to be downloaded first."""
_opened: dict[str, Work] = {}


def spread(
    work: Work, chunks: Sequence[Sequence[Any]], *, workers: int | None, code: Code | None = None,
    blind: dict[str, str] | None = None,
) -> Iterator[tuple[int, Part]]:  # fmt: skip
    """Does the work in other processes; Ray must be connected.

    On several nodes, a chunk of which another one could not read something is done once more on this one, which counts.
    A node that did not see what is to be read here gets no more chunks.

    Args:
        work: what to do with a chunk.
        chunks: the items.
        workers: how many processes; None for one a core, or one a GPU for extractors that use them.
        code: what the processes import besides the installed packages; None for what this one can.
        blind: is told the nodes that are left out so: id -> name.

    Raises:
        DataError: an extractor cannot be opened, its process dies again and again, or nothing comes back.
    """
    places = Places.now(work.extractor.gpu, workers)
    return _Dealing(work, chunks, places, code or Code(tuple(sys.path)), {} if blind is None else blind).parts()


class _Dealing:
    """Chunks under way: reference -> (the chunk, the seat, how many items could not be read before)."""

    def __init__(
        self, work: Work, chunks: Sequence[Sequence[Any]], places: Places, code: Code, blind: dict[str, str]
    ) -> None:
        shared = _ray.put(work)
        self._arguments = shared.hex(), _ray.put(code), [shared]
        self._chunks, self._places, self._blind = chunks, places, blind
        self._waiting, self._seats = deque(range(len(chunks))), deque(places.seats)
        self._under_way = dict[Any, tuple[int, str, int]]()
        self._out = set[str]()

    def parts(self) -> Iterator[tuple[int, Part]]:
        """Number and part of each chunk, in any order."""
        try:
            while self._waiting or self._under_way:
                if not self._seats and not self._under_way:
                    self._seats.extend(self._places.last)
                while self._waiting and self._seats:
                    self._begin(self._waiting.popleft(), self._seats.popleft())
                ready, _ = _ray.wait(list(self._under_way), timeout=PATIENCE_S)
                if not ready:
                    size = len(self._chunks[0])
                    raise DataError(f"{size} items took a process over {PATIENCE_S:g} s; see Ray's own logs")
                yield from filter(None, map(self._take, ready))
        finally:
            for reference in self._under_way:
                _ray.cancel(reference, force=True)

    def _begin(self, number: int, seat: str, unread: int = 0) -> None:
        options = self._places.options(seat, again=unread > 0)
        remote = _ray.remote(_one).options(max_retries=MAX_FAILURES, **options)
        self._under_way[remote.remote(*self._arguments, self._chunks[number])] = number, seat, unread

    def _take(self, reference: Any) -> tuple[int, Part] | None:
        """A chunk's part; None where it is done again."""
        number, seat, unread = self._under_way.pop(reference)
        other = self._places.is_other(seat)
        try:
            part = _answer(reference)
        except DataError:
            if not other or seat in {node.id for node in alive()}:
                raise
            self._waiting.append(number)  # its node has died
            return None
        if part.reasons and other and not unread:
            self._begin(number, seat, len(part.reasons))
            return None
        if len(part.reasons) < unread:
            self._out.add(seat)
            self._blind[seat] = self._places.names[seat]
            self._seats = deque(seat for seat in self._seats if seat not in self._out)
        if seat not in self._out:
            self._seats.append(seat)
        return number, part


def _answer(reference: Any) -> Part:
    try:
        return _ray.get(reference)
    except RayTaskError as error:
        cause: Any = error.cause
        if isinstance(cause, DataError):
            raise cause from None
        if isinstance(cause, Unlike):
            raise DataError(f"{cause}; install the same there") from None
        raise
    except RayError as error:
        raise DataError(
            f"extraction: {' '.join(str(error).split())[:300]}; run it again with fewer --workers"
        ) from error


def _one(token: str, code: Code, shared: Sequence[Any], items: Sequence[Any]) -> Part:
    """In a worker process: opens the extractor once, which may lie where the driver finds it."""
    if token not in _opened:
        code.arrive()
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

    Attributes:
        blind: nodes that did not see files and were left out, id -> name.
    """

    def __init__(self, workers: int | None, address: str | None) -> None:
        self._workers, self._address = workers, address
        self._open = ExitStack()
        self._connected = False
        self._code: Code | None = None
        self.blind: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *what: object) -> None:
        self._open.close()

    def __call__(self, work: Work, chunks: Sequence[Sequence[Any]]) -> Iterator[tuple[int, Part]]:
        """Spreads the work.

        Raises:
            NoCluster: Ray cannot be started or reached, or a node would run something else than this process.
        """
        if not self._connected:
            ours = self._address is None and not ray.is_initialized()
            self._open.enter_context(cluster(self._address))
            self._connected = True
            if not ours:
                code, _ = compared([str(Path.cwd())])
                self._code = replace(code, folders=(*code.folders, *(p for p in sys.path if p not in code.folders)))
        return spread(work, chunks, workers=self._workers, code=self._code, blind=self.blind)
