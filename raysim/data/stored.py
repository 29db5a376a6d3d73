"""Partitions and masks that a file says: a `partition.npz` (`data/record.py` has its keys), or a CSV.

Of an `.npz` only `rows` and, as asked, `client` or `present.<modality>` are needed. `client` may be text, and rows may
stand in any order. A CSV has the columns `row` and, as asked, `client` or one of 0 and 1 by the name of each modality;
other columns are not looked at, so one table may say both.

Shapes: N training samples, R rows of the file, M modalities, K clients.
"""

import csv
import io
import re
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raysim.data.dataset import Array, DataError
from raysim.data.headers import loaded
from raysim.data.table import table
from raysim.disk import sum_of_file, unpacked
from raysim.scenario.clients import Stored, StoredMissing, StoredPartition
from raysim.scenario.errors import shown
from raysim.scenario.schema import Scenario

Part = Literal["partition", "missing"]
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_COLUMNS = {"rows": "row", "client": "client"}


def owned(spec: StoredPartition, samples: int) -> list[NDArray[np.int64]]:
    """Each of K clients' rows.

    Args:
        spec: the scenario's `partition` section.
        samples: N.

    Raises:
        DataError: the file says something else, or of other data.
    """
    file = _opened(spec, "partition")
    rows, (numbers, _) = file.rows(samples), file.clients()
    order = np.argsort(numbers, kind="stable")
    return np.split(rows[order], np.cumsum(np.bincount(numbers))[:-1])


def names_of(spec: StoredPartition) -> Array | None:
    """What the file calls its clients (K,), text; None where they are numbered from 0."""
    return _opened(spec, "partition").clients()[1]


def left(spec: StoredMissing, present: NDArray[np.bool_], rows: Array, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """What the file leaves of the training samples.

    Args:
        spec: the scenario's `missing` section.
        present: (N, M), the data's own mask.
        rows: samples of which the file must say something.
        names: the modalities.

    Returns:
        (N, M); samples that the file does not list are as the data has them.

    Raises:
        DataError: the file says something else, or nothing of one of the rows.
    """
    file = _opened(spec, "missing")
    listed, mask = file.rows(len(present)), present.copy()
    absent = rows[~np.isin(rows, listed)]
    if len(absent):
        raise file.error(
            f"says nothing of {len(absent)} samples that clients have, first of row {absent[0]}; list all of them, or "
            "give the file as partition, too"
        )
    mask[listed] &= np.stack([file.flags(f"present.{m}") for m in names], axis=1)
    return mask


def evaluated(spec: StoredMissing, split: str, names: tuple[str, ...], samples: int) -> NDArray[np.bool_]:
    """What the file leaves of all validation or test samples: (samples, M).

    Raises:
        DataError: it has other ones, or says nothing of them.
    """
    file = _opened(spec, "missing")
    return np.stack([file.flags(f"{split}.{m}", samples, f"{split} samples") for m in names], axis=1)


def scored(spec: StoredMissing, split: str, samples: int) -> NDArray[np.bool_] | None:
    """Which validation or test samples count by the file: (samples,); None where all do."""
    file, key = _opened(spec, "missing"), f"scored.{split}"
    return file.flags(key, samples, f"{split} samples") if key in file.arrays else None


def check_stored(scenario: Scenario, names: tuple[str, ...] | None) -> int | None:
    """Checks all that can be seen of a scenario's files without its data.

    Args:
        scenario: its `partition` and `missing` sections are looked at.
        names: the modalities; None where only the data tells.

    Returns:
        K, where a file says it.

    Raises:
        DataError: a file does not say what the scenario takes it for.
    """
    clients = None
    if isinstance(spec := scenario.partition, StoredPartition):
        file = _opened(spec, "partition")
        file.rows()
        clients = int(file.clients()[0].max()) + 1
    if isinstance(spec := scenario.missing, StoredMissing):
        file = _opened(spec, "missing")
        file.rows()
        kinds = ("present", "validation", "test") if scenario.evaluation.missing == "same" else ("present",)
        for kind in kinds:
            for m in names or ():
                file.flags(f"{kind}.{m}")
    return clients


def _opened(spec: Stored, part: Part) -> "_File":
    return _read(Path(spec.path), spec.digest, part)


@lru_cache(maxsize=2)
def _read(path: Path, digest: str | None, part: Part) -> "_File":
    try:
        if digest not in (None, sum_of_file(path).blake2b):
            raise DataError(f"{path} has changed meanwhile; start again", part)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", part) from error
    return _File(path, part)


class _File:
    """A file's arrays by the keys of an `.npz`, text where they come from a CSV."""

    def __init__(self, path: Path, part: Part) -> None:
        self.path = path
        self.part: Part = part
        self.csv = path.suffix != ".npz"
        needed = ("rows", "client") if part == "partition" else ("rows",)
        self.arrays = self._of_csv(needed) if self.csv else self._of_archive(needed)

    def error(self, message: str, key: str = "", at: int | None = None) -> DataError:
        """One line: the file, where in it, what is wrong."""
        if self.csv:
            place = f"{self.path}" if at is None else f"{self.path}:{self._line(at)}"
            named = f"column '{_COLUMNS.get(key, key.partition('.')[2])}' " if key else ""
        else:
            place, named = f"{self.path}", f"'{key}' " if key else ""
            message = message if at is None else f"{message} (at {at})"
        return DataError(f"{place}: {named}{message}", self.part)

    def rows(self, samples: int | None = None) -> NDArray[np.int64]:
        """Which training samples it lists (R,): each once, and all below N where that is known."""
        rows = self._numbers(self.arrays["rows"])
        order = np.argsort(rows, kind="stable")
        twice = np.flatnonzero(np.diff(rows[order]) == 0)
        if len(twice):
            raise self.error(
                f"has {rows[order[twice[0]]]} twice; list each sample once", "rows", int(order[twice[0] + 1])
            )
        if samples is None:
            return rows
        if (wrong := np.flatnonzero(rows >= samples)).size:
            raise self.error(
                f"has {rows[wrong[0]]}, but the data has {samples} training samples, numbered from 0; it belongs to "
                "other data", "rows", int(wrong[0]),
            )  # fmt: skip
        known = self.arrays.get("samples")
        if not self.csv and known is not None and (known.shape != () or known != samples):
            raise self.error(
                f"is {known}, but the data has {samples} training samples; it belongs to other data", "samples"
            )
        return rows

    def clients(self) -> tuple[NDArray[np.int64], Array | None]:
        """Each row's client (R,), from 0, in ascending order of what they are called, and the names (K,)."""
        called = self.arrays["client"]
        if called.dtype.kind == "U":
            if (blank := np.flatnonzero(called == "")).size:
                raise self.error("is empty; name a client, or leave the row out", "client", int(blank[0]))
            if all(_NUMBER.fullmatch(name) for name in set(called.tolist())):
                called = called.astype(np.int64)
        elif called.dtype.kind not in "iu":
            raise self.error(f"is {called.dtype}; write integers or text (R,)", "client")
        names, numbers = np.unique(called, return_inverse=True)
        plain = names.dtype.kind != "U" and names[0] == 0 and names[-1] == len(names) - 1
        ids = self.arrays.get("ids") if not self.csv else None
        if ids is None:
            return numbers, None if plain else names.astype(str)
        if not plain or ids.shape != names.shape or ids.dtype.kind != "U":
            raise self.error(
                f"is {ids.dtype} of shape {ids.shape}, but 'client' has {len(names)} from {names[0]} to {names[-1]}; "
                "write one text for each client, which count from 0", "ids",
            )  # fmt: skip
        return numbers, ids

    def flags(self, key: str, samples: int | None = None, what: str = "") -> NDArray[np.bool_]:
        """An array of true and false; one for each of so many samples, or else one a row."""
        if key not in self.arrays:
            raise self._lacks(key)
        array = self.arrays[key]
        if key.startswith("present."):
            samples, what = len(self.arrays["rows"]), "rows"
        if array.ndim != 1 or samples not in (None, len(array)):
            wanted = f"({samples},), one for each of {samples} {what}" if samples is not None else "(N,)"
            raise self.error(f"has the shape {array.shape}; it must be {wanted}", key)
        known = ("0", "1") if array.dtype.kind == "U" else (0, 1)
        if (wrong := np.flatnonzero(~np.isin(array, known))).size:
            raise self.error(f"is {shown(array[wrong[0]].item())}; write 0 or 1", key, int(wrong[0]))
        return array == known[1]

    def _lacks(self, key: str) -> DataError:
        prefix, _, name = key.partition(".")
        if prefix != "present":
            return self.error(
                f"has no '{key}', which evaluation.missing: same asks for; give the partition.npz of a trial, or a rate"
            )
        known = ", ".join(k.partition(".")[2] for k in self.arrays if k.startswith("present."))
        what = f"column '{name}'" if self.csv else f"'{key}'"
        return self.error(f"has no {what}, but the data has that modality; there are: {known or 'none'}")

    def _numbers(self, array: Array) -> NDArray[np.int64]:
        if array.dtype.kind == "U":
            bad = (i for i, text in enumerate(array.tolist()) if not _NUMBER.fullmatch(text))
            if (at := next(bad, None)) is not None:
                raise self.error(f"is {shown(array[at].item())}; write whole numbers from 0", "rows", at)
        elif array.dtype.kind not in "iu":
            raise self.error(f"is {array.dtype}; write integers (R,)", "rows")
        rows = array.astype(np.int64)
        if (below := np.flatnonzero(rows < 0)).size:  # also what was too large
            raise self.error(f"has {array[below[0]]}; samples count from 0", "rows", int(below[0]))
        return rows

    def _of_csv(self, needed: tuple[str, ...]) -> dict[str, Array]:
        wanted = "the columns row and client" if self.part == "partition" else "a column row and one for each modality"

        def error(text: str) -> DataError:
            return DataError(f"{text}; a CSV needs {wanted}, and a line for each sample", self.part)

        lines = table(self.path, dict.fromkeys(_COLUMNS[key] for key in needed), error)
        keys = {name: key for key, name in _COLUMNS.items()}
        return {keys.get(c, f"present.{c}"): np.array([line[c] or "" for line in lines]) for c in lines[0]}

    def _of_archive(self, needed: tuple[str, ...]) -> dict[str, Array]:
        try:
            found = loaded(self.path, " and ".join(needed))
        except DataError as error:
            raise DataError(str(error), self.part) from error
        for key in needed:
            if key not in found:
                raise self.error(f"has no '{key}'; there are: {', '.join(found)}")
            if found[key].ndim != 1 or found[key].shape != found["rows"].shape:
                raise self.error(f"has the shape {found[key].shape}; write one for each of R rows", key)
        if not len(found["rows"]):
            raise self.error("lists no sample; it needs some", "rows")
        return found

    def _line(self, at: int) -> int:
        """The line of a CSV's row: blank lines count here, and nowhere else."""
        reader = csv.reader(io.StringIO(unpacked(self.path).decode("utf-8-sig"), newline=""), strict=True)
        return next(islice((reader.line_num for fields in reader if fields), at + 1, None))
