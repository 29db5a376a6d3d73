"""What a prepared dataset's folder says of itself."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

from raysim.data.dataset import DataError
from raysim.disk import Sum, sum_of_file

MANIFEST = "prepared.json"
"""It is written last: a folder without it is not prepared."""


def manifest(folder: Path) -> dict[str, Any]:
    """What a prepared folder says of itself.

    Raises:
        DataError: it is not prepared, or its manifest is damaged.
    """
    try:
        return json_object(folder / MANIFEST, ("features",), folder)
    except FileNotFoundError as error:
        raise DataError(f"{folder} is not prepared: there is no {MANIFEST}; run raysim data prepare") from error


def json_object(path: Path, keys: Collection[str], folder: Path) -> dict[str, Any]:
    """A JSON file with at least these keys."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not set(keys) <= set(cast("dict[str, Any]", found)):
        raise DataError(f"{path} is damaged; remove {folder} and run raysim data prepare again")
    return cast("dict[str, Any]", found)


def damaged(folder: Path) -> list[str]:
    """The files of a prepared folder that are not as they were written: a line each.

    Raises:
        DataError: it is not prepared, or its manifest is damaged.
    """
    lines: list[str] = []
    for name, wanted in manifest(folder)["files"].items():
        path = folder / name
        if not path.is_file():
            lines.append(f"{path} is missing")
        elif sum_of_file(path) != Sum(**wanted):
            lines.append(f"{path} has changed since it was prepared")
    return lines
