"""What made a trial: versions, the data, and code that is not raysim's: whether another one is the same can be told."""

import platform
from collections.abc import Iterable, Mapping
from pathlib import Path

import ray

from raysim.disk import digest
from raysim.engine.shipping import own_files
from raysim.scenario.model import CODE
from raysim.training import keeping

VERSIONS = {
    **keeping.VERSIONS,
    "ray": str(ray.__version__),
    "python": platform.python_version(),
    "platform": platform.platform(),
}


def own_code(paths: Iterable[str], shipped: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """The files of imported modules that lie beside a scenario or where one works, by their names there.

    Args:
        paths: folders in which a scenario's names are looked up.
        shipped: absolute path -> what processes were given, whatever has become of the file since.
    """
    given = shipped or {}
    folders = sorted((Path(path).resolve() for path in paths), key=lambda path: path.name != CODE)  # copies of copies
    named = ((file, next(f for f in folders if file.is_relative_to(f))) for file in own_files(folders))
    return {file.relative_to(folder).as_posix(): given.get(str(file)) or file.read_bytes() for file, folder in named}


def code_digests(code: Mapping[str, bytes]) -> dict[str, str]:
    """File -> checksum."""
    return {name: digest(data) for name, data in code.items()}
