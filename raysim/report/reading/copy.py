"""The copy of a study at a URL on this machine: all that reads or writes a study works on it.

The URL says what is right, since another machine may have gone on with the study; unless the last who wrote there was
the run that left this copy: then the copy has all of it, and what could not be sent, too.
"""

import json
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from raysim.disk import hold, is_url, write
from raysim.report.reading.folder import STUDY, FolderError, holder, refuse
from raysim.report.reading.urls import STATE, home, shown
from raysim.store import Store, StoreError, hidden

WRITER = ".writer.json"
"""At the URL: who writes there, and a number that rises while it is at work."""
BEAT_S = 10.0
"""How often it rises."""
CHECKPOINTS = "checkpoints"
_LOOK_S = 0.1


class Seen(NamedTuple):
    """What changes here when a file does."""

    size: int
    mtime_ns: int


UNKNOWN = Seen(-1, 0)
"""Of a file that is there, and may be another one here."""


class Copy:
    """What there is on this machine of a study at a URL, or of one of its trials.

    Args:
        text: the URL.

    Attributes:
        store: the files there.
        folder: those here.
        files: those there, as each was here when both were the same.

    Raises:
        FolderError: nothing is known that could be reached by it.
    """

    def __init__(self, text: str) -> None:
        try:
            self.store = Store(text)
        except StoreError as error:
            raise FolderError(str(error)) from error
        self.url = self.store.url
        self.home = home(self.url)
        self.folder = self.home / (self.url.rpartition("/")[2][:60] or "study")
        self.files: dict[str, Seen] = {}
        self._stamps: dict[str, str] = {}
        self._writer, self._ours, self._beats = "", False, 0

    def begin(self, *, resume: bool, say: Callable[[str], None]) -> None:
        """For a run that holds the folder: what is at the URL comes here, and others learn that it writes there now.

        Args:
            resume: whether it goes on with a study.
            say: is told what takes long.

        Raises:
            FolderError: the store cannot be used, another run is at work there, or it has what this run may not have.
        """
        with self._alone():
            there = self._last()
            names = self._list()
            ours = self._is_last(there) and bool(names or not self.files)  # else somebody has removed all there
            here = files_in(self.folder) if ours else names
            refuse(self.url, {name.partition("/")[0] for name in here}, resume=resume)
            if there is not None and not ours:
                self._await_silence(there, say)
            if ours:
                self.files = {name: self.files.get(name, UNKNOWN) for name in names}
            else:
                self._put_aside(say)
                self._fetch(names, prune=True)
            self._writer = uuid.uuid4().hex
            self.beat()
            self._ours = True
            self.save()

    def look(self, wanted: Callable[[str], bool]) -> None:
        """For a reader: what is new at the URL comes here, unless what is here is newer.

        Args:
            wanted: says whether a file is.

        Raises:
            FolderError: the store cannot be used.
        """
        with self._alone():
            at_work = holder(self.folder)
            if (at_work is not None and at_work.alive) or self._is_last(self._last()):
                return
            names, ours = self._list(), self._ours
            self._put_aside(silent)
            self._fetch({name: stamp for name, stamp in names.items() if wanted(name)}, prune=ours)

    def elsewhere(self) -> str:
        """The run of another machine that writes there, or was lost without saying that it ended; empty: none.

        Raises:
            FolderError: the store cannot be used.
        """
        with self._alone():
            there = self._last()
            return "" if there is None or self._is_last(there) else there["by"]

    def beat(self) -> None:
        """Says there that this run is at work.

        Raises:
            FolderError: that cannot be written.
        """
        self._beats += 1
        self._say(f"process {os.getpid()} on {socket.gethostname()}")

    def end(self) -> None:
        """Says there that it is no more.

        Raises:
            FolderError: that cannot be written.
        """
        self._say("")

    def leave(self) -> None:
        """Leaves nothing there and nothing here: no study has begun.

        Raises:
            FolderError: the store cannot be used.
        """
        _, problem = self.store.remove([WRITER])
        if problem:
            raise FolderError(f"{self.url}: {problem}")
        self._ours = False
        self.save()

    def other(self) -> str:
        """The run that has begun to write there since this one did; empty where none has.

        Raises:
            FolderError: the store cannot be used.
        """
        there = self._last()
        return "" if there is None or there["writer"] == self._writer else there["by"] or "another run"

    def save(self) -> None:
        """Notes what is known."""
        self.home.mkdir(parents=True, exist_ok=True)
        state = {
            "url": self.url, "writer": self._writer, "ours": self._ours, "files": self.files, "stamps": self._stamps,
        }  # fmt: skip
        write(self.home / STATE, json.dumps(state).encode())

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Waits for other processes that fetch, and knows what they have fetched."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            while (lock := hold(self.home / ".lock")) is None:
                time.sleep(_LOOK_S)
        except OSError as error:
            raise FolderError(
                f"{self.url}: its copy in {self.home} cannot be written: {error.strerror}; set RAYSIM_CACHE to another "
                "folder"
            ) from error
        with lock:
            self._load()
            yield

    def _load(self) -> None:
        path = self.home / STATE
        if path.exists():
            state: dict[str, Any] = json.loads(path.read_bytes())
            self._writer, self._ours = state["writer"], state["ours"]
            self.files = {name: Seen(*seen) for name, seen in state["files"].items()}
            self._stamps = state["stamps"]
        else:
            self.save()

    def _last(self) -> Mapping[str, Any] | None:
        """Who wrote there last."""
        try:
            data = self.store.read(WRITER)
            return None if data is None else json.loads(data)
        except StoreError as error:
            raise FolderError(str(error)) from error
        except ValueError as error:
            raise FolderError(f"{self.url}/{WRITER}: is no JSON; remove it") from error

    def _is_last(self, there: Mapping[str, Any] | None) -> bool:
        """Whether the last who wrote there was the run that left this copy."""
        return self._ours and there is not None and there["writer"] == self._writer and (self.folder / STUDY).exists()

    def _await_silence(self, there: Mapping[str, Any], say: Callable[[str], None]) -> None:
        """Sees to it that the run that wrote there last is at work no more."""
        if not there["by"]:
            return
        say(f"{self.url}: {there['by']} did not say that it has ended; waiting {3 * BEAT_S:.0f} s for a sign of it")
        end = time.monotonic() + 3 * BEAT_S
        while time.monotonic() < end:
            time.sleep(BEAT_S / 10)
            if (now := self._last()) != there:
                by = now["by"] if now else ""
                raise FolderError(
                    f"{self.url}: another raysim run is at work there ({by or 'ending'}); wait for its end, or choose "
                    "another folder with --out"
                )

    def _list(self) -> dict[str, str]:
        try:
            return self.store.listed()
        except StoreError as error:
            raise FolderError(str(error)) from error

    def _say(self, by: str) -> None:
        said = {"writer": self._writer, "by": by, "beat": self._beats}
        try:
            self.store.write(WRITER, json.dumps(said).encode())
        except StoreError as error:
            raise FolderError(f"{error}; nothing can be written there") from error

    def _put_aside(self, say: Callable[[str], None]) -> None:
        """Keeps what this machine wrote and could not send, where another one has gone on since."""
        here = files_in(self.folder)
        if self._ours and any(self.files.get(name) != seen for name, seen in here.items()):
            kept = next(p for i in range(1, 1_000_000) if not (p := self.home / f"unsent-{i}").exists())
            self.folder.rename(kept)
            say(f"{self.url}: another run has gone on there; what this machine had not sent is kept in {kept}")

    def _fetch(self, names: Mapping[str, str], *, prune: bool) -> None:
        """Makes the files here those that are there.

        Args:
            names: which -> what the store says of each.
            prune: whether to remove all others, also those that were never there.
        """
        self._ours = False
        self.save()  # what is fetched in part is not right
        self.folder.mkdir(parents=True, exist_ok=True)
        here = files_in(self.folder)
        for name in [n for n in here if n not in names and (prune or n in self.files)]:
            (self.folder / name).unlink()
        if prune:
            _tidy(self.folder)
        same = {n for n, seen in here.items() if self.files.get(n) == seen and self._stamps.get(n) == names.get(n)}
        done, problem = self.store.get({name: self.folder / name for name in names if name not in same})
        here = files_in(self.folder)
        there = [name for name in (*same, *done) if name in names and name in here]
        self.files = {name: here[name] for name in there}
        self._stamps = {name: names[name] for name in there}
        self.save()
        if problem:
            raise FolderError(f"{self.url}: {problem}")


def _tidy(folder: Path) -> None:
    """Removes empty folders below a folder, and what was not written to its end."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif re.fullmatch(r"\..*\.tmp", path.name):
            path.unlink()


def silent(_: str) -> None:
    """Nobody is told."""


def files_in(folder: Path) -> dict[str, Seen]:
    """The files of a folder by their names in it, without hidden ones; none where there is no folder."""
    return dict(_walk(folder, ""))


def _walk(folder: Path, before: str) -> Iterator[tuple[str, Seen]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{before}{entry.name}"
                if hidden(entry.name):
                    continue
                if entry.is_dir():
                    yield from _walk(Path(entry.path), f"{name}/")
                else:
                    stat = entry.stat()
                    yield name, Seen(stat.st_size, stat.st_mtime_ns)
    except FileNotFoundError:  # the folder, or a file, has just gone
        return


def copied(path: str | os.PathLike[str]) -> Path:
    """Where to read a study: of one at a URL its copy, which is brought up to date; without its checkpoints.

    Raises:
        FolderError: the store cannot be used.
    """
    if not is_url(path):
        return Path(path)
    copy = Copy(os.fspath(path))
    copy.look(lambda name: CHECKPOINTS not in name.split("/"))
    return copy.folder


def copied_here(path: str | os.PathLike[str]) -> Path:
    """As `copied`, for those who deal with the process that works on a study, which has to be of this machine.

    Raises:
        FolderError: it is not, or the store cannot be used.
    """
    folder = copied(path)
    if is_url(path) and (other := Copy(os.fspath(path)).elsewhere()):
        raise FolderError(f"{shown(folder)}: {other} writes there; watch it or stop it on that machine")
    return folder


def copied_trial(path: str | os.PathLike[str]) -> Path:
    """The same of a trial's folder or its model: what is needed to use what it trained.

    Raises:
        FolderError: the store cannot be used.
    """
    text = os.fspath(path)
    if not is_url(text):
        return Path(path)
    above, _, last = text.rpartition("/")
    is_file = last.endswith(".safetensors")
    copy = Copy(above if is_file else text)
    copy.look(lambda name: "/" not in name or name.startswith("code/"))
    return copy.folder / last if is_file else copy.folder
