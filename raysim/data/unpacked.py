"""Large archives of arrays, unpacked once into a folder of files that can be mapped."""

import shutil
import time
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from raysim.data.cache import CACHE, cache_folder
from raysim.data.dataset import DataError
from raysim.disk import digest, hold, settle

LARGE_BYTES = 128 << 20
"""An archive whose arrays take less is read into memory, at every start; a larger one is unpacked."""
FOLDER = "unpacked"
"""Below raysim's cache."""
LOOK_S = 0.2


def unpacked(path: Path) -> Path:
    """The folder with a `.npy` file for each array of an .npz, made if it is not there yet.

    It is found again by the archive's path, size and time of change. Those of earlier versions are removed.

    Raises:
        DataError: it cannot be written; one line.
    """
    stat, place = path.stat(), cache_folder(FOLDER)
    file = f"{path.stem}-{digest(str(path.absolute()).encode())[:8]}"
    folder = place / f"{file}-{digest(f'{stat.st_size} {stat.st_mtime_ns}'.encode())[:8]}"
    if not folder.is_dir():
        size = sum(entry.file_size for entry in zipfile.ZipFile(path).infolist())
        with _room(path, size, place), _alone(place / f".{file}.lock"):
            if not folder.is_dir():  # another process was faster
                _unpack(path, folder)
                for old in place.glob(f"{file}-*"):
                    if old != folder:
                        shutil.rmtree(old, ignore_errors=True)
    return folder


def _unpack(path: Path, folder: Path) -> None:
    """Copies each array; the folder is there as a whole or not at all."""
    aside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                target = aside / f"{name.removesuffix('.npy')}.npy"
                with archive.open(name) as member, target.open("wb") as file:
                    shutil.copyfileobj(member, file, 1 << 22)
                settle(target)
        settle(aside)
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


@contextmanager
def _room(path: Path, size: int, place: Path) -> Generator[None]:
    """What the disk refuses becomes one line."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DataError(
            f"{path} is unpacked once, {size / 1e9:.1f} GB, to {place}: {error.strerror}; free some space, or set "
            f"{CACHE} to a folder that has it"
        ) from error


@contextmanager
def _alone(lock: Path) -> Generator[None]:
    """Waits until no other process is in the block."""
    while (held := hold(lock)) is None:
        time.sleep(LOOK_S)
    with held:
        yield
