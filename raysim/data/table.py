"""Tables of text: csv and tsv files of datasets' official layouts."""

import csv
import io
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from raysim.data.dataset import DataError
from raysim.disk import unpacked
from raysim.scenario.errors import shown

Row = dict[str, str]


def table(
    path: Path, columns: Mapping[str, Collection[str] | None], error: Callable[[str], DataError], *,
    delimiter: str = ",", quoted: bool = True, repair: Mapping[int, str] | None = None,
) -> list[Row]:  # fmt: skip
    """All rows of a file in UTF-8, gzipped or not, whose first line names the columns.

    Args:
        path: the file.
        columns: those that must be there, and what may stand in them; None: anything.
        error: what is raised, from its text.
        delimiter: between fields.
        quoted: whether a field may stand in quotation marks; otherwise these are characters like any other.
        repair: character -> text that takes its place, as for `str.translate`. A byte B that is not UTF-8 is the
            character 0xDC00 + B; without a repair there may be none.

    Raises:
        DataError: the file is malformed or has no rows.
    """
    try:
        text = unpacked(path).decode("utf-8-sig", "strict" if repair is None else "surrogateescape")
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise error(f"{path} is not in UTF-8: byte {problem.start} is {problem.object[problem.start]:#x}") from problem
    lines = io.StringIO(text.translate(repair or {}), newline="")
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    reader = csv.DictReader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    try:
        if absent := [c for c in columns if c not in (reader.fieldnames or ())]:
            raise error(f"{path} has no column {', '.join(absent)}")
        rows: list[Row] = []
        for row in reader:
            if wrong := _wrong(row, columns):
                raise error(f"{path}:{reader.line_num}: {wrong}")
            rows.append(row)
    except csv.Error as problem:
        raise error(f"{path}:{reader.reader.line_num}: {problem}") from problem
    if not rows:
        raise error(f"{path} has no rows")
    return rows


def _wrong(row: Mapping[str | None, str | None], columns: Mapping[str, Collection[str] | None]) -> str | None:
    """What is the matter with a row, if anything."""
    if None in row:
        return "more fields than columns"
    for column, known in columns.items():
        value = row[column]
        if value is None:
            return f"no {column}"
        if known is not None and value not in known:
            return f"{column} is {shown(value)}, not one of: {', '.join(known)}"
    return None
