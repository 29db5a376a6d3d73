"""Ray's processes beside those that compute: which of them a cluster of our own does without."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import ray

UNUSED = ("start_monitor", "start_log_monitor", "start_api_server")
"""What starts the autoscaler's monitor, the log monitor and the dashboard's server: 40 to 60 MB and half a second each.

Nobody asks for more nodes here, logs stay in their files, and there is no dashboard.
"""


@contextmanager
def no_helpers() -> Generator[None]:
    """A head node that starts in the block has no unused helpers. A Ray that starts them otherwise has them as ever."""
    private: Any = ray
    node: Any = getattr(getattr(private._private, "node", None), "Node", None)
    before: dict[str, Any] = {n: vars(node)[n] for n in UNUSED if hasattr(node, n)}
    for name in before:
        setattr(node, name, _nothing)
    try:
        yield
    finally:
        for name, start in before.items():
            setattr(node, name, start)


def _nothing(*_: Any, **__: Any) -> None:
    """Starts nothing."""
