"""A folder at a URL: an object store, or whatever else fsspec knows.

Every call ends within a time limit, and what goes wrong is one line. A file is there as a whole or not at all: object
stores see to that, and of files on a disk the new one takes the old one's place when it is complete.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from raysim.aside import aside, together
from raysim.disk import URL

ANSWER_S = 30.0
"""A call may take that long, and longer by a second for each megabyte that it moves."""
SLOW = 1e6
"""Bytes a second."""
AT_A_TIME = 8
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Protocol -> the extra of raysim's that has the package for it."""
_CHANGED = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")
"""What says in a listing that a file is another one now: the first of them that is there."""
Made = TypeVar("Made")


class StoreError(ValueError):
    """A store cannot be used, or does not answer; one line: which, and why."""


def absolute(text: str) -> str:
    """A URL as fsspec takes it; paths of Python's have lost one of its slashes."""
    found = URL.match(text)
    assert found, text
    scheme, slashes = found["scheme"].lower(), found["slashes"]
    if len(slashes) == 1:
        slashes = "///" if scheme in ("file", "local") else "//"
    return f"{scheme}:{slashes}{text[found.end() :].rstrip('/')}"


class Store:
    """The files below a URL, by their names relative to it.

    Args:
        text: the URL.

    Attributes:
        url: the same in one form, whichever way it was written.

    Raises:
        StoreError: no store is known by it, or a package is not installed.
    """

    def __init__(self, text: str) -> None:
        import fsspec.core  # takes a tenth of a second
        from fsspec.implementations.local import LocalFileSystem

        text = absolute(text)
        scheme = text.partition(":")[0]
        try:
            self._fs, root = cast(Any, fsspec.core).url_to_fs(text)
        except ImportError as error:
            way = f"pip install 'raysim[{EXTRAS[scheme]}]'" if scheme in EXTRAS else "install it"
            raise StoreError(f"{text}: a package for {scheme}:// is not installed ({error}); {way}") from error
        except Exception as error:  # a store raises what its library does
            raise StoreError(
                f"{text}: {_reason(error)}; name a folder, or a URL that fsspec knows (file://, s3://, gs://)"
            ) from error
        self._root: str = root.rstrip("/")
        self._disk = isinstance(self._fs, LocalFileSystem)
        self._sizes: Mapping[str, int] = {}
        self.url: str = self._fs.unstrip_protocol(self._root)

    def listed(self) -> dict[str, str]:
        """The files that are there: name -> what changes when the file does.

        Raises:
            StoreError: it cannot be said.
        """
        return self._ask(self._look)

    def read(self, name: str) -> bytes | None:
        """A small file; None where there is none.

        Raises:
            StoreError: it cannot be read.
        """

        def work() -> bytes | None:
            try:
                return self._fs.cat_file(self._path(name))
            except FileNotFoundError:
                return None

        return self._ask(work)

    def write(self, name: str, data: bytes) -> None:
        """Replaces a small file.

        Raises:
            StoreError: it cannot be written.
        """
        self._ask(lambda: self._place(name, lambda path: self._fs.pipe_file(path, data)))

    def put(self, files: Mapping[str, Path]) -> tuple[list[str], str]:
        """Replaces files by those of this machine; returns the names of those that are done, and what went wrong.

        One that has gone meanwhile counts as done.
        """

        def work(name: str) -> None:
            try:
                self._place(name, lambda path: self._fs.put_file(str(files[name]), path))
            except FileNotFoundError:
                if files[name].exists():
                    raise

        return self._each(work, files, lambda name: _size(files[name]))

    def get(self, files: Mapping[str, Path]) -> tuple[list[str], str]:
        """Fetches files that were listed; one that has gone meanwhile counts as done. Returns as `put`."""

        def work(name: str) -> None:
            aside = files[name].with_name(f".{files[name].name}.tmp")
            aside.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._fs.get_file(self._path(name), str(aside))
            except FileNotFoundError:
                aside.unlink(missing_ok=True)
            else:
                aside.replace(files[name])

        return self._each(work, files, lambda name: self._sizes.get(name, 0))

    def remove(self, names: Iterable[str]) -> tuple[list[str], str]:
        """Removes files, which may have gone. Returns as `put`."""

        def work(name: str) -> None:
            path = self._path(name)
            with suppress(FileNotFoundError):
                self._fs.rm_file(path)
            if self._disk:
                with suppress(OSError):  # the folder holds something, or has gone
                    Path(path).parent.rmdir()

        return self._each(work, names, lambda _: 0)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _place(self, name: str, write: Callable[[str], None]) -> None:
        """Writes a file, on a disk beside its place first."""
        path = self._path(name)
        if not self._disk:
            write(path)
            return
        folder, _, last = path.rpartition("/")
        self._fs.makedirs(folder, exist_ok=True)
        write(f"{folder}/.{last}.tmp")
        Path(folder, f".{last}.tmp").replace(path)

    def _look(self) -> dict[str, str]:
        from fsspec.asyn import AsyncFileSystem

        self._fs.invalidate_cache()
        if isinstance(self._fs, AsyncFileSystem):  # object stores list all that begins with a name
            found: dict[str, dict[str, Any]] = cast(Any, self._fs).find(self._root, detail=True)
        else:
            found = self._walk()
        below = {path.removeprefix(f"{self._root}/"): info for path, info in found.items() if path != self._root}
        seen = {name: info for name, info in below.items() if not hidden(name)}
        self._sizes = {name: int(info.get("size") or 0) for name, info in seen.items()}
        return {name: _stamp(info) for name, info in seen.items()}

    def _walk(self) -> dict[str, dict[str, Any]]:
        """As `find` of fsspec, which takes what cannot be listed for empty."""
        found: dict[str, dict[str, Any]] = {}
        folders = [self._root]
        try:
            while folders:
                for info in self._fs.ls(folders.pop(), detail=True):
                    if info["type"] == "directory":
                        folders.append(info["name"])
                    else:
                        found[info["name"]] = info
        except FileNotFoundError:
            if found:
                raise
        return found

    def _ask(self, work: Callable[[], Made]) -> Made:
        """What a call says.

        Raises:
            StoreError: it fails, or says nothing for too long.
        """
        try:
            return aside(work).result(ANSWER_S)
        except TimeoutError as error:
            raise StoreError(f"{self.url}: no answer within {ANSWER_S:.0f} s") from error
        except Exception as error:  # a store raises what its library does
            raise StoreError(f"{self.url}: {_reason(error)}") from error

    def _each(
        self, work: Callable[[str], None], names: Iterable[str], size: Callable[[str], float]
    ) -> tuple[list[str], str]:
        done, failed = together(work, names, lambda name: ANSWER_S + size(name) / SLOW, AT_A_TIME)
        return done, next((f"{name}: {_reason(error)}" for name, error in failed.items()), "")


def hidden(name: str) -> bool:
    """Whether a file is nobody else's: locks, and what is not complete."""
    return any(part.startswith(".") for part in name.split("/"))


def _stamp(info: Mapping[str, Any]) -> str:
    changed = next((info[key] for key in _CHANGED if info.get(key) is not None), "")
    return f"{info.get('size')} {changed}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # it has gone, which the call will say
        return 0


def _reason(error: BaseException) -> str:
    strerror = error.strerror if isinstance(error, OSError) else None
    text = strerror or str(error).strip().partition("\n")[0].rstrip(".")[:200]
    return text or type(error).__name__
