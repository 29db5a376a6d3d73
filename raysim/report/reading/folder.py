"""The output folder of a study: whose it is, and whether a run may write there."""

import itertools
import json
import os
import re
import socket
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from raysim.disk import held, hold, write
from raysim.report.reading.urls import shown
from raysim.scenario.identity import differences, rounds_of, settings, with_rounds
from raysim.scenario.trial import Trial

FORMAT = "raysim study 1"
STUDY, JOURNAL, LOG, _LOCK, _STOP = "study.json", "progress.jsonl", "log.txt", ".lock", ".stop"
_SHOWN = 5
_TRIES, _TRY_AGAIN_S = 5, 0.05
"""Who asks whether a folder is held holds it himself for a moment."""


class FolderError(ValueError):
    """The folder cannot be used; one line: which, why, what to do."""


@contextmanager
def opened(
    folder: Path, trials: Sequence[Trial], *, resume: bool, ours: bool = False,
    mirror: AbstractContextManager[object] | None = None,
) -> Generator[None]:  # fmt: skip
    """Holds a study's folder for this process alone, until the end of the block or of the process.

    Where nothing was written meanwhile, it is left empty, or is gone again if it was made for this study.

    Args:
        folder: made if need be.
        trials: of the study.
        resume: whether to go on with a study that is there; trials that both have must be the same, but may have more
            rounds now.
        ours: whether the folder comes from `fresh`; one that is made here is ours in any case.
        mirror: a block inside, at whose beginning the folder becomes what a URL has, and at whose end that has all.

    Raises:
        FolderError: it is in use, holds something else, or cannot be written.
    """
    ours = ours or not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder)
    except OSError as error:
        raise FolderError(f"{folder}: cannot be written: {error.strerror}; choose another folder with --out") from error
    with lock:
        try:
            with mirror or nullcontext():
                _claim(folder, trials, resume=resume)
                (folder / _STOP).unlink(missing_ok=True)  # meant for a process that died before it looked
                (folder / JOURNAL).unlink(missing_ok=True)
                try:
                    yield
                finally:
                    (folder / _STOP).unlink(missing_ok=True)
        finally:
            if not resume and {p.name for p in folder.iterdir()} <= {_LOCK, STUDY, JOURNAL}:  # nothing has begun
                (folder / JOURNAL).unlink(missing_ok=True)
                (folder / STUDY).unlink(missing_ok=True)
            (folder / _LOCK).unlink(missing_ok=True)
            if ours:
                with suppress(OSError):  # it holds something
                    folder.rmdir()


@dataclass(frozen=True)
class Holder:
    """The process that a folder's lock is of.

    Attributes:
        name: `process 123 on host`; what it does at the moment while it has not written that.
        alive: whether it is at work. Of another host that is only known where the disk shares its locks.
        elsewhere: whether it is, or was, of another host.
    """

    name: str
    alive: bool
    elsewhere: bool


def holder(folder: Path) -> Holder | None:
    """Who has a folder's lock, or left it behind; None where nobody did.

    Raises:
        FolderError: it cannot be read.
    """
    path = folder / _LOCK
    try:
        with path.open(encoding="utf-8") as file:
            name = _holder(path)
            elsewhere = " on " in name and name.rpartition(" on ")[2] != socket.gethostname()
            return Holder(name, held(file), elsewhere)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FolderError(f"{path}: cannot be read: {error.strerror}") from error


def ask_to_stop(folder: Path) -> None:
    """Asks the process that is at work in a folder to end as after Ctrl-C; on any host that sees the folder.

    Raises:
        FolderError: nothing can be written there.
    """
    try:
        (folder / _STOP).touch()
    except OSError as error:
        raise FolderError(f"{folder}: cannot be written: {error.strerror}; stop it as the user who runs it") from error


def asked_to_stop(folder: Path) -> bool:
    """Whether somebody has asked for that."""
    return (folder / _STOP).exists()


def fresh(base: Path, name: str) -> Path:
    """A folder for a study that got none: `name-<time>`, with a number where studies begin in the same second.

    Raises:
        FolderError: it cannot be made.
    """
    first = base / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    later = (first.with_name(f"{first.name}-{i}") for i in itertools.count(2))
    try:
        for folder in itertools.chain([first], later):
            with suppress(FileExistsError):
                folder.mkdir(parents=True)
                return folder
    except OSError as error:
        raise FolderError(f"{first}: cannot be written: {error.strerror}; choose another folder with --out") from error
    raise AssertionError("numbers never end")


def newest(base: Path, name: str, scenarios: Collection[str]) -> Path | None:
    """The study of these scenarios that was begun last among the folders that `fresh` named.

    Which one that is, the studies say themselves: clocks go back, and names begin alike.
    """
    named = re.compile(rf"{re.escape(name)}-\d{{8}}-\d{{6}}(-\d+)?")
    found = [p.parent for p in base.glob(f"*/{STUDY}") if named.fullmatch(p.parent.name)]
    ours = [(*_begun(folder), folder.name) for folder in found if _scenarios(folder) == set(scenarios)]
    return base / max(ours)[-1] if ours else None


def _scenarios(folder: Path) -> set[str]:
    """Those of a study; none where that cannot be read."""
    trials = _read(folder).get("trials")
    return (
        {str(name).partition("/")[0] for name in cast("Mapping[str, Any]", trials)}
        if isinstance(trials, dict)
        else set()
    )


def _begun(folder: Path) -> tuple[int, int]:
    """The how-manieth study of its parent's it was, and for those that did not note that, when its list was written."""
    number = _read(folder).get("begun")
    if isinstance(number, int):
        return number, 0
    try:
        return 0, (folder / STUDY).stat().st_mtime_ns
    except OSError:  # just removed
        return 0, 0


def _read(folder: Path) -> Mapping[str, Any]:
    """What a study says of itself; nothing where that cannot be read."""
    try:
        found: Any = json.loads((folder / STUDY).read_bytes())
    except (OSError, ValueError):
        return {}
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _locked(folder: Path) -> IO[str]:
    """The lock file, held."""
    path, tries = folder / _LOCK, _TRIES
    while True:
        if (file := hold(path)) is None:
            if tries := tries - 1:
                time.sleep(_TRY_AGAIN_S)
                continue
            raise FolderError(
                f"{shown(folder)}: another raysim run is at work there ({_holder(path)}); wait for its end, or choose "
                "another folder with --out"
            )
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()  # its holder has just removed it
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() or "starting"
    except FileNotFoundError:
        return "ending"


def refuse(name: str, present: Collection[str], *, resume: bool) -> None:
    """Sees to it that a study begins where nothing is, and goes on where one is.

    Args:
        name: of its place, as the user knows it.
        present: what is there.
        resume: whether it goes on.

    Raises:
        FolderError: it is otherwise.
    """
    if STUDY in present and not resume:
        raise FolderError(
            f"{name}: is not empty; go on with its study by --resume, or choose another folder, e.g. --out {name}-2"
        )
    if STUDY not in present and present:
        what = "holds something, and no study to go on with" if resume else "is not empty"
        raise FolderError(f"{name}: {what}; choose another folder, e.g. --out {name}-2")
    if not present and resume:
        raise FolderError(f"{name}: there is no study to go on with; leave --resume out to begin one")


def _claim(folder: Path, trials: Sequence[Trial], *, resume: bool) -> None:
    now = [(f"{t.scenario.name}/{t.name}", json.loads(json.dumps(settings(t)))) for t in trials]
    path, name = folder / STUDY, shown(folder)
    refuse(name, {p.name for p in folder.iterdir()} - {_LOCK}, resume=resume)
    if not path.exists():
        number = 1 + max((_begun(p.parent)[0] for p in folder.absolute().parent.glob(f"*/{STUDY}")), default=0)
        _save(path, number, now)
        return
    number, before = _load(path)
    there, here = dict(before), dict(now)
    both = there.keys() & here.keys()  # what is added runs, what was left out stays; without any in common nothing fits
    rounds = {n: (rounds_of(there[n]), rounds_of(here[n])) for n in both}
    grown = {n for n, (was, is_) in rounds.items() if isinstance(was, int) and isinstance(is_, int) and is_ > was}
    known = [(n, with_rounds(s, rounds[n][1]) if n in grown else s) for n, s in before]
    old, new = ([(n, s) for n, s in side if n in both or not both] for side in (known, now))
    found = list(differences(old, new))
    if not found and (grown or here.keys() - both):
        _save(path, number, [*known, *((n, s) for n, s in now if n not in both)])
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise FolderError(
            f"{name}: its study is another one: {'; '.join(found[:_SHOWN])}{more}; undo the change, or choose "
            "another folder with --out"
        )


def _save(path: Path, number: int, trials: Sequence[tuple[str, Any]]) -> None:
    try:
        write(path, json.dumps({"format": FORMAT, "begun": number, "trials": dict(trials)}, indent=1).encode() + b"\n")
    except OSError as error:
        raise FolderError(f"{path}: cannot be written: {error.strerror}; choose another folder with --out") from error


def _load(path: Path) -> tuple[int, list[tuple[str, Any]]]:
    try:
        study = json.loads(path.read_bytes())
        if study["format"] == FORMAT:
            return int(study.get("begun", 0)), list(study["trials"].items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise FolderError(f"{path}: cannot be read; choose another folder with --out") from error
    raise FolderError(f"{path}: is of another version of raysim; choose another folder with --out")
