"""The output folder of a study: whose it is, and whether a run may write there."""

import json
import os
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from raysim.disk import hold, write
from raysim.scenario.identity import differences, settings
from raysim.scenario.trial import Trial

FORMAT = "raysim study 1"
STUDY, _LOCK = "study.json", ".lock"
_SHOWN = 5


class FolderError(ValueError):
    """The folder cannot be used; one line: which, why, what to do."""


@contextmanager
def opened(folder: Path, trials: Sequence[Trial], *, resume: bool) -> Generator[None]:
    """Holds a study's folder for this process alone, until the end of the block or of the process.

    Where nothing was written meanwhile, it is left empty.

    Args:
        folder: made if need be.
        trials: of the study.
        resume: whether to go on with a study that is there; it must have the same trials.

    Raises:
        FolderError: it is in use, holds something else, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder)
    except OSError as error:
        raise FolderError(f"{folder}: cannot be written: {error.strerror}; choose another folder with --out") from error
    with lock:
        try:
            _claim(folder, trials, resume=resume)
            yield
        finally:
            if not resume and {p.name for p in folder.iterdir()} == {_LOCK, STUDY}:  # nothing has begun
                (folder / STUDY).unlink()
            (folder / _LOCK).unlink(missing_ok=True)


def newest(base: Path, name: str) -> Path | None:
    """The study that was begun last among the folders `name-<time>` without a name of their own."""
    found = sorted(p.parent for p in base.glob(f"{name}-[0-9]*-[0-9]*/{STUDY}"))
    return found[-1] if found else None


def _locked(folder: Path) -> IO[str]:
    """The lock file, held."""
    path = folder / _LOCK
    while True:
        if (file := hold(path)) is None:
            raise FolderError(
                f"{folder}: another raysim run is at work there ({_holder(path)}); wait for its end, or choose another "
                "folder with --out"
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


def _claim(folder: Path, trials: Sequence[Trial], *, resume: bool) -> None:
    now = [(f"{t.scenario.name}/{t.name}", json.loads(json.dumps(settings(t)))) for t in trials]
    path = folder / STUDY
    if not path.exists():
        if any(p.name != _LOCK for p in folder.iterdir()):
            what = "holds something, and no study to go on with" if resume else "is not empty"
            raise FolderError(f"{folder}: {what}; choose another folder, e.g. --out {folder}-2")
        if resume:
            raise FolderError(f"{folder}: there is no study to go on with; leave --resume out to begin one")
        _save(path, now)
        return
    if not resume:
        raise FolderError(
            f"{folder}: is not empty; go on with its study by --resume, or choose another folder, e.g. --out {folder}-2"
        )
    found = list(differences(_load(path), now))
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise FolderError(
            f"{folder}: its study is another one: {'; '.join(found[:_SHOWN])}{more}; undo the change, or choose "
            "another folder with --out"
        )


def _save(path: Path, trials: Sequence[tuple[str, Any]]) -> None:
    try:
        write(path, json.dumps({"format": FORMAT, "trials": dict(trials)}, indent=1).encode() + b"\n")
    except OSError as error:
        raise FolderError(f"{path}: cannot be written: {error.strerror}; choose another folder with --out") from error


def _load(path: Path) -> list[tuple[str, Any]]:
    try:
        study = json.loads(path.read_bytes())
        if study["format"] == FORMAT:
            return list(study["trials"].items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise FolderError(f"{path}: cannot be read; choose another folder with --out") from error
    raise FolderError(f"{path}: is of another version of raysim; choose another folder with --out")
