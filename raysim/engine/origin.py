"""What made a trial: versions, the data, and code that is not raysim's: whether another one is the same can be told."""

import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import ray

from raysim.data.dataset import Array, Dataset
from raysim.data.mapped import Mapped
from raysim.data.pieces import cut
from raysim.data.ragged import Ragged
from raysim.disk import digest, digest_of
from raysim.registry import HOME
from raysim.training import keeping

VERSIONS = {
    **keeping.VERSIONS,
    "ray": str(ray.__version__),
    "python": platform.python_version(),
    "platform": platform.platform(),
}
MOST_BYTES = 1_000_000
"""A larger file is no code."""


def own_code(paths: Iterable[str]) -> dict[str, bytes]:
    """The files of imported modules that lie beside a scenario or where one works, by their names there.

    Args:
        paths: folders in which a scenario's names are looked up.
    """
    folders = [Path(path).resolve() for path in paths]
    found: dict[str, bytes] = {}
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name == "__main__" or name.partition(".")[0] == "raysim" or not file.endswith(".py"):
            continue
        path = Path(file).resolve()
        folder = next((f for f in folders if path.is_relative_to(f)), None)
        if folder is None or path.is_relative_to(HOME) or not path.is_file() or path.stat().st_size > MOST_BYTES:
            continue
        if not {"site-packages", "dist-packages"} & set(path.parts):
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def code_digests(code: Mapping[str, bytes]) -> dict[str, str]:
    """File -> checksum."""
    return {name: digest(data) for name, data in code.items()}


def data_digest(dataset: Dataset) -> str:
    """A checksum of all that a dataset holds, whatever it was read from."""
    parts = [repr((sorted(dataset.modalities), dataset.classes, dataset.multi_label))]
    for split in (dataset.train, dataset.validation, dataset.test):
        tables = {"x": split.inputs, "length": split.lengths, "present": split.present}
        for what, table in tables.items():
            for name in sorted(table):
                array = table[name]
                several = (array.values, array.spans) if isinstance(array, Ragged) else (array,)
                parts += [f"{what}.{name}", *(_digest(a) for a in several)]
        parts += [_digest(split.labels), "" if split.clients is None else _digest(split.clients)]
    return digest("\n".join(parts).encode())


def _digest(array: Array | Mapped) -> str:
    """Piece after piece, as if it were all in memory."""
    parts: Iterable[Any] = [array]
    if isinstance(array, Mapped):
        parts = (array[part] for part in cut(array, np.arange(len(array))))
    plain: Iterable[Any] = map(np.ascontiguousarray, parts)
    return f"{array.dtype.str}{array.shape}{digest_of(memoryview(part).cast('B') for part in plain)}"
