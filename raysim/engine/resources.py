"""How busy the machine and the cluster are."""

import time
from pathlib import Path
from typing import Any

import ray

from raysim.report.events import Resources

_ray: Any = ray  # only partly typed
_MEMORY = Path("/proc/meminfo")
_STAT = Path("/proc/stat")


class Usage:
    """Looks at the machine, at most every few seconds. What an operating system does not tell is None."""

    def __init__(self, every_s: float) -> None:
        self._every_s, self._last, self._times = every_s, 0.0, _cpu_times()

    def now(self) -> Resources | None:
        """The use since the last look; None when that was just now."""
        if time.monotonic() - self._last < self._every_s:
            return None
        self._last = time.monotonic()
        before, self._times = self._times, _cpu_times()
        total, free = _ray.cluster_resources(), _ray.available_resources()
        capacity, memory = total.get("object_store_memory"), _memory()
        return Resources(
            cpu=_share(before, self._times),
            gpu=1 - free.get("GPU", 0.0) / total["GPU"] if total.get("GPU") else None,
            memory_bytes=None if memory is None else memory[0],
            memory_capacity_bytes=None if memory is None else memory[1],
            object_store_bytes=None if capacity is None else int(capacity - free.get("object_store_memory", 0.0)),
            object_store_capacity_bytes=None if capacity is None else int(capacity),
        )


def _cpu_times() -> tuple[float, float] | None:
    """(busy, all) processor time so far."""
    if not _STAT.exists():
        return None
    ticks = [float(t) for t in _STAT.read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _share(before: tuple[float, float] | None, after: tuple[float, float] | None) -> float | None:
    if before is None or after is None:
        return None
    return (after[0] - before[0]) / max(after[1] - before[1], 1.0)


def _memory() -> tuple[int, int] | None:
    """(used, all) bytes of this machine."""
    if not _MEMORY.exists():
        return None
    table = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in _MEMORY.read_text().splitlines()}
    return table["MemTotal"] - table["MemAvailable"], table["MemTotal"]
