"""The user's own code on its way to the processes of other nodes, which may see other files, or older ones.

What travels are files, not modules: those that were imported from where a scenario's names are looked up, what they
import from there anywhere, the rest of their packages, and what lies beside them (a vocabulary). A process that has the
same files in the same place uses these, so nothing changes on one machine or a shared disk; others write them into a
folder of their own, where they stand to each other as they did, and which takes the place of the original one.
"""

import ast
import os
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from raysim.engine.folder import own_folder
from raysim.engine.likeness import Wanted
from raysim.registry import HOME

MOST_BYTES = 1_000_000
"""A larger file is no code."""
BESIDE_BYTES = 16_000_000
"""A larger file beside one's code does not travel with it."""
ALL_BYTES = 64_000_000
"""So much travels besides Python files, the small ones first."""
MOST_ENTRIES = 10_000
"""So many files and folders of a package are looked at."""
Files = tuple[tuple[str, bytes], ...]
_until_the_end = ExitStack()


@dataclass(frozen=True)
class Code:
    """What a process needs to import what the driver imports.

    Attributes:
        folders: where names are looked up besides the installed packages, as the driver sees them.
        files: absolute path and content, of what has to be the same everywhere; none on a cluster of our own.
        large: absolute path and size of files beside them that do not travel, and are used where they are.
        wanted: what else has to be; None likewise.
    """

    folders: tuple[str, ...] = ()
    files: Files = ()
    large: tuple[tuple[str, int], ...] = ()
    wanted: Wanted | None = None

    def arrive(self) -> None:
        """Makes it importable in this process.

        Raises:
            Unlike: the process would run another raysim, or other packages.
            OSError: files cannot be written.
        """
        if self.wanted is not None:
            self.wanted.check_here()
        folders = _placed(self.folders, self.files, self.large)
        for given, place in zip(self.folders, folders, strict=True):
            if given != place:
                sys.path[:] = [place if os.path.realpath(known) == given else known for known in sys.path]
        sys.path.extend(place for place in folders if place not in sys.path)


def shipped(folders: Sequence[str]) -> Code:
    """What was imported from some folders, and all that belongs to it, with its content by now."""
    resolved = tuple(dict.fromkeys(os.path.realpath(folder) for folder in folders))
    homes = [Path(folder) for folder in resolved]
    sizes = {path: path.stat().st_size for path in _closed(own_files(homes), homes)}
    few = _few(sizes)
    large = tuple((str(path), size) for path, size in sizes.items() if path not in few)
    return Code(resolved, tuple((str(path), path.read_bytes()) for path in few), large)


def own_files(folders: Sequence[Path]) -> dict[Path, Path]:
    """The files of imported modules that lie in some folders, and are neither raysim's nor installed.

    Returns:
        File -> the folder where its module's name begins.
    """
    found: dict[Path, Path] = {}

    @cache
    def home_of(place: str) -> tuple[Path, Path | None]:  # thousands of modules lie in hundreds of folders
        real = Path(place).resolve()
        own = not _is_installed(real)
        return real, next((folder for folder in folders if real.is_relative_to(folder)), None) if own else None

    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name == "__main__" or not file.endswith(".py"):
            continue
        link = os.path.islink(file)  # noqa: PTH114 - thousands of paths take a tenth of a second to make
        place, base = os.path.split(os.path.realpath(file) if link else file)
        real, home = home_of(place)
        if home is None or name.partition(".")[0] == "raysim":
            continue
        path = real / base
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            continue
        above = path.parents[min(name.count(".") + (path.name == "__init__.py"), len(path.parents) - 1)]
        found[path] = above if any(above.is_relative_to(folder) for folder in folders) else home
    return found


def imported(source: bytes) -> set[str]:
    """The modules that a Python file may import anywhere, by their whole names; none where it does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # nobody could import it
        return set()
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@cache
def _placed(folders: tuple[str, ...], files: Files, large: tuple[tuple[str, int], ...]) -> list[str]:
    """Where this process finds what lies in some folders on the driver."""
    if all(_is(Path(path), content) for path, content in files):
        return list(folders)
    home = _until_the_end.enter_context(own_folder())
    for path, content in files:
        copy = _below(home, path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
    for path, size in large:
        if Path(path).is_file() and Path(path).stat().st_size == size:
            _below(home, path).symlink_to(path)
    return [str(place) if (place := _below(home, folder)).is_dir() else folder for folder in folders]


def _below(home: Path, path: str) -> Path:
    return home / Path(path).relative_to(Path(path).anchor)


def _is(path: Path, content: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


def _is_installed(path: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or path.is_relative_to(HOME)


def _closed(files: Mapping[Path, Path], folders: Sequence[Path]) -> list[Path]:
    """With what belongs to some files, and with what all of that imports from the folders."""
    found, looked, waiting = dict[Path, None](), set[Path](), deque(files.items())
    while waiting:
        file, folder = waiting.popleft()
        top = folder / file.relative_to(folder).parts[0]
        home, deep = (top, True) if top.is_dir() else (folder, False)
        if home not in looked:
            looked.add(home)
            found |= dict.fromkeys(_entries(home, deep=deep))
        if file.suffix == ".py" and file not in looked:
            looked.add(file)
            found[file] = None
            waiting.extend(_named(imported(file.read_bytes()), folders))
            if deep:
                waiting.extend((other, folder) for other in found if other.is_relative_to(top) and other not in looked)
    return list(found)


def _named(modules: set[str], folders: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """The files of modules that lie in the folders, and the folders."""
    for module in sorted(modules):
        for folder in folders:
            path = folder.joinpath(*module.split("."))
            for file in (path.with_suffix(".py"), path / "__init__.py"):
                top = module.partition(".")[0]
                if top != "raysim" and file.is_file() and not (_is_installed(file) or _elsewhere(top, folders)):
                    yield file, folder


def _elsewhere(top: str, folders: Sequence[Path]) -> bool:
    """Whether a module comes from the installed packages, whatever lies in the folders."""
    file = getattr(sys.modules.get(top), "__file__", None)
    return top in sys.stdlib_module_names or (
        file is not None and not any(Path(file).resolve().is_relative_to(folder) for folder in folders)
    )


def _entries(home: Path, *, deep: bool) -> Iterator[Path]:
    """The files of a folder, and of those in it where it is a package's, the nearest first."""
    waiting, left = deque([home]), MOST_ENTRIES
    while waiting:
        for entry in sorted(waiting.popleft().iterdir()):
            if (left := left - 1) < 0:
                return
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            if entry.is_dir() and deep:
                waiting.append(entry)
            elif entry.is_file() and os.access(entry, os.R_OK):
                yield entry


def _few(sizes: Mapping[Path, int]) -> list[Path]:
    """Python files, and others, the small ones first, as far as they are not too large."""
    code = {path for path, size in sizes.items() if path.suffix == ".py" and size <= MOST_BYTES}
    kept, left = sorted(code), ALL_BYTES
    for path in sorted(sizes.keys() - code, key=lambda path: (sizes[path], path)):
        if sizes[path] > min(BESIDE_BYTES, left):
            break
        kept.append(path)
        left -= sizes[path]
    return kept
