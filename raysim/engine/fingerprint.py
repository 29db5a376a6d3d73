"""What a process would run, as it would find it: raysim, wheels, packages. Nothing of that is imported.

Its functions go to any node by value, whatever is installed there, so they need the standard library alone.
"""

import hashlib
import importlib.metadata
import importlib.util
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

RAYSIM = "raysim"
BESIDE = ("methods", "scenarios")
"""What comes with raysim, beside it."""


class Print(TypedDict):
    """A fingerprint.

    `wheels` has a version for each, empty where it is not installed; `packages` and `raysim` a digest for each file,
    none where it cannot be found.
    """

    python: str
    version: str
    raysim: dict[str, str]
    wheels: dict[str, str]
    packages: dict[str, dict[str, str]]
    processor: str


def taken(wheels: Sequence[str], packages: Sequence[str]) -> Print:
    """This process's fingerprint.

    Args:
        wheels: whose versions are asked for.
        packages: top-level modules whose files are.
    """
    homes = _places(RAYSIM)
    beside = [folder for home in homes for name in BESIDE if (folder := home.parent / name).is_dir()]
    return {
        "python": platform.python_version(),
        "version": "".join(_version(home) for home in homes[:1]),
        "raysim": _digests([*homes, *beside]),
        "wheels": {name: _installed(name) for name in wheels},
        "packages": {name: _digests(_places(name)) for name in packages},
        "processor": _processor(),
    }


def _places(name: str) -> list[Path]:
    """A top-level module's file, or a package's folders."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(place) for place in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.has_location and spec.origin else []


def _digests(places: Sequence[Path]) -> dict[str, str]:
    """Of a file, or of all Python files below folders, by their names below the folders' own."""
    files = {
        file.relative_to(place.parent).as_posix(): file
        for place in places
        for file in (sorted(place.rglob("*.py")) if place.is_dir() else [place])
    }
    return {name: hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest() for name, file in files.items()}


def _version(home: Path) -> str:
    file = home / "version.py"
    found = re.search(r'^VERSION = "(.*)"$', file.read_text(encoding="utf-8"), re.MULTILINE) if file.is_file() else None
    return found[1] if found else ""


def _installed(wheel: str) -> str:
    try:
        return importlib.metadata.version(wheel)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    """What the processor calls itself."""
    known = Path("/proc/cpuinfo")
    if not known.is_file():
        return platform.processor()
    found = re.search(r"^model name\s*: (.*)$", known.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else platform.processor()


def digest(files: Mapping[str, str]) -> str:
    """One digest for all."""
    return hashlib.blake2b(repr(sorted(files.items())).encode(), digest_size=4).hexdigest()
