"""Published splits as a CSV for `partition: {name: file}`.

What repositories publish are lists of their own ids. In JSON, client → samples, a sample being its id or a list that
begins with it: FedMultimodal's `partition.json` has `[id, path, label, text]`, and under `dev` and `test` what belongs
to no client. CAR-MFL's and Med-MMFL's partitions are pickled. Reading such a file may run any code that it holds, so it
is refused; whoever trusts it can write it as JSON.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from raysim.data.dataset import DataError
from raysim.scenario.errors import shown

HELD_OUT = ("dev", "val", "validation", "test")
"""What is no client's in a published list."""
_PICKLED = (".pkl", ".pickle", ".pt", ".pth", ".joblib")
_FORM = '{"client": ["id", …], …}, or with a list such as ["id", "path", 0] for each sample'


def as_csv(path: Path, ids: Sequence[str]) -> str:
    """The lines `row,client` of a published split, in ascending order of the rows.

    Args:
        path: the published file.
        ids: the ids of all training samples, in the order of the data.

    Raises:
        DataError: the file is pickled or not of that form, or does not fit the ids.
    """
    rows: dict[str, int] = {}
    for row, name in enumerate(ids):
        if rows.setdefault(name, row) != row:
            raise DataError(
                f"the id {shown(name)} stands for rows {rows[name]} and {row}; ids must be unique", "partition"
            )
    owners: dict[int, str] = {}
    strange: list[tuple[str, str]] = []
    for client, name in _samples(path):
        row = rows.get(name)
        if row is None:
            strange.append((client, name))
        elif owners.setdefault(row, client) != client:
            raise DataError(
                f"{path}: {shown(name)} belongs to the clients {shown(owners[row])} and {shown(client)}; leave one",
                "partition",
            )
    if strange:
        client, name = strange[0]
        raise DataError(
            f"{path}: {len(strange)} samples are not among the {len(ids)} ids, first {shown(name)} of client "
            f"{shown(client)}; give the ids of all training samples, as the file spells them",
            "partition",
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "client"])
    writer.writerows(sorted(owners.items()))
    return text.getvalue()


def _samples(path: Path) -> Iterator[tuple[str, str]]:
    """Each client and the id of each of its samples, in the order of the file."""
    for client, samples in _listed(path).items():
        if client in HELD_OUT:
            continue
        items = _items(samples)
        if not items:
            raise DataError(f"{path}: client {shown(client)} has {shown(samples)}, no list; write {_FORM}", "partition")
        for sample in items:
            name, *_ = _items(sample) or [sample]
            if isinstance(name, bool) or not isinstance(name, str | int):
                raise DataError(
                    f"{path}: client {shown(client)} has the sample {shown(sample)}; write {_FORM}", "partition"
                )
            yield client, str(name)


def _items(value: Any) -> list[Any]:
    """What a list holds; nothing where it is none."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def _listed(path: Path) -> Mapping[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "partition") from error
    if path.suffix in _PICKLED or data[:1] == b"\x80":
        raise DataError(
            f"{path} is pickled, and reading it may run any code that it holds, so raysim does not; where you trust "
            f"it, write it as JSON: {_FORM}",
            "partition",
        )
    try:
        found: Any = json.loads(data)
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}; write {_FORM}", "partition") from error
    if not isinstance(found, dict) or not set(cast("dict[str, Any]", found)) - set(HELD_OUT):
        raise DataError(f"{path} lists no clients; write {_FORM}", "partition")
    return cast("Mapping[str, Any]", found)
