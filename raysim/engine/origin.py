"""What made a trial: versions, the data, and code that is not raysim's: whether another one is the same can be told."""

import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import ray

from raysim.disk import digest
from raysim.registry import HOME
from raysim.scenario.model import CODE
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
    folders = sorted((Path(path).resolve() for path in paths), key=lambda path: path.name != CODE)  # copies of copies
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
