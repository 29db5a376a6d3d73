"""What makes a URL equal to a folder that is written to, and in which order.

Whoever reads there, or goes on with the study after this machine is lost, finds something whole at any moment: what
others refer to goes first, a checkpoint's manifest after its files, and a summary last; what a trial's new beginning
has made untrue is removed before.
"""

import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from raysim.report.files import SUMMARY
from raysim.report.reading.copy import CHECKPOINTS, Seen, files_in
from raysim.report.reading.folder import STUDY

SETTLED = 5
"""How often a folder of checkpoints is looked at that changes meanwhile."""
METRICS = "metrics.jsonl"
Step = tuple[Literal["put", "remove"], list[str]]


@dataclass(frozen=True)
class Now:
    """A moment of a folder.

    Attributes:
        here: its files.
        there: those at the URL that they are compared with.
        paths: where to read each.
        left: folders of trials that are left out of all of it.
    """

    here: Mapping[str, Seen]
    there: Mapping[str, Seen]
    paths: Mapping[str, Path]
    left: set[str]


def steps(
    here: Mapping[str, Seen], there: Mapping[str, Seen], anew: Mapping[str, int], held: Collection[str] = ()
) -> Iterator[Step]:
    """What makes a URL equal to a folder, one after another; within a step the order does not matter.

    Args:
        here: the files of the folder.
        there: those at the URL, as they were here when they went.
        anew: folder of a trial that has gone back since -> to how many rounds; what concludes more there is untrue.
        held: files that may stay as they are for now.
    """
    changed = [name for name, seen in here.items() if there.get(name) != seen]
    gone = [name for name in there if name not in here]
    untrue = [n for n in (*changed, *gone) if n in there and _concludes(n) and _untrue(n, anew)]
    yield "remove", untrue
    counted = {f"{trial_of(name)}/{METRICS}" for name in changed if _concludes(name)}
    due = [name for name in changed if name not in held or name in counted or name not in there]
    for rank in range(5):
        yield "put", [name for name in due if _rank(name) == rank]
    yield "remove", [name for name in gone if _concludes(name) and name not in untrue]
    yield "remove", [name for name in gone if not _concludes(name)]


def _rank(name: str) -> int:
    """The order in which files go: the list of trials, what others refer to, what refers to them."""
    if name == STUDY:
        return 0
    if PurePosixPath(name).name == SUMMARY:
        return 4
    if _in_checkpoints(name):
        return 3 if _concludes(name) else 2
    return 1


def _concludes(name: str) -> bool:
    """Whether a file says that others are there: a checkpoint's manifest, or a trial's summary."""
    path = PurePosixPath(name)
    return path.name == SUMMARY or (_in_checkpoints(name) and path.suffix == ".json")


def _untrue(name: str, anew: Mapping[str, int]) -> bool:
    """Whether a manifest or summary is of rounds that a trial has gone back behind."""
    found = re.fullmatch(r"round-(\d+)\.json", PurePosixPath(name).name)
    return trial_of(name) in anew and (found is None or int(found[1]) > anew[trial_of(name)])


def _in_checkpoints(name: str) -> bool:
    return PurePosixPath(name).parent.name == CHECKPOINTS


def trial_of(name: str) -> str:
    """The folder of the trial that a file is of."""
    return "/".join(name.split("/")[:2])


def was_cut(name: str, seen: Seen, there: Mapping[str, Seen]) -> bool:
    """Whether a trial's lines have become fewer, so that it has begun again, which may not have been told yet."""
    return name.endswith(f"/{METRICS}") and name in there and seen.size < there[name].size


def lines_of(path: Path) -> int:
    """How many lines a file has."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


def snapshot(folder: Path, there: Mapping[str, Seen], staging: Path) -> Now:
    """The files of a folder.

    Checkpoints come and go meanwhile. Those to send are linked, so that all that a manifest names stays; where that was
    not possible between two changes, the trial is left out.

    Args:
        folder: of a study.
        there: the files at the URL.
        staging: a folder for the links.
    """
    here = files_in(folder)
    paths = {name: folder / name for name in here}
    left = set[str]()
    for home in sorted({str(PurePosixPath(name).parent) for name in (*here, *there) if _in_checkpoints(name)}):
        inside = _linked(folder, home, there, staging)
        if inside is None:
            left.add(trial_of(home))
            continue
        here = {n: s for n, s in here.items() if str(PurePosixPath(n).parent) != home} | inside
        paths |= {name: staging / name for name, seen in inside.items() if there.get(name) != seen}
    here, there = ({n: s for n, s in files.items() if trial_of(n) not in left} for files in (here, there))
    return Now(here, there, paths, left)


def _linked(folder: Path, home: str, there: Mapping[str, Seen], staging: Path) -> dict[str, Seen] | None:
    """The checkpoints of a trial, those that are new linked; None where they did not stay the same for long enough."""
    for _ in range(SETTLED):
        before = files_in(folder / home)
        found = {f"{home}/{name}": seen for name, seen in before.items()}
        shutil.rmtree(staging / home, ignore_errors=True)
        with suppress(FileNotFoundError):
            for name, seen in found.items():
                if there.get(name) != seen:
                    _link(folder / name, staging / name)
            if files_in(folder / home) == before:
                return found
    return None


def _link(path: Path, other: Path) -> None:
    other.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, other)
    except FileNotFoundError:
        raise
    except OSError:  # a disk that has no links
        shutil.copy2(path, other)
