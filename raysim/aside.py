"""Work in threads that nobody has to wait for: not at the end of the process, nor where they hang."""

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from threading import Thread
from typing import TypeVar

Made = TypeVar("Made")
Item = TypeVar("Item", bound=Hashable)
IN_A_ROW = 16
"""After so many failures without a success between them the rest is not tried."""


def aside(work: Callable[[], Made]) -> Future[Made]:
    """Does something in a thread that nobody has to wait for."""
    future: Future[Made] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def together(
    work: Callable[[Item], None], items: Iterable[Item], limit_s: Callable[[Item], float], width: int
) -> tuple[list[Item], dict[Item, BaseException]]:
    """Does something with each of several items, so many at a time.

    Args:
        work: may hang.
        items: which.
        limit_s: how long it may take; after the first that takes longer none is begun.
        width: how many at a time.

    Returns:
        Those that are done, and what went wrong with others; some may not have been tried then.
    """
    waiting, running = deque(items), dict[Future[None], tuple[Item, float]]()
    done: list[Item] = []
    failed: dict[Item, BaseException] = {}
    row = 0
    while waiting or running:
        while waiting and len(running) < width:
            item = waiting.popleft()
            running[aside(partial(work, item))] = item, time.monotonic() + limit_s(item)
        patience = min(end for _, end in running.values()) - time.monotonic()
        wait(running, max(patience, 0.0), FIRST_COMPLETED)
        now = time.monotonic()
        for future, (item, end) in list(running.items()):
            if not future.done() and now < end:
                continue
            del running[future]
            problem = future.exception() if future.done() else TimeoutError(f"no answer within {limit_s(item):.0f} s")
            if problem is None:
                done.append(item)
                row = 0
                continue
            failed[item] = problem
            row += 1
            if isinstance(problem, TimeoutError) or row >= IN_A_ROW:
                waiting.clear()
    return done, failed
