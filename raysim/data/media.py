"""Reading media files. What cannot be read is `Unreadable`, and says why in a few words."""

import io
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FFMPEG_S = 300
"""Longest time for the sound of one film."""


class Unreadable(ValueError):
    """A media file is missing, truncated or of another format."""


@dataclass(frozen=True)
class Sound:
    """One channel of audio: wave (samples,) float32 in [-1, 1], at a rate in Hz."""

    wave: NDArray[np.float32]
    rate: int


def image(path: Path) -> Any:
    """A picture as a `PIL.Image` in RGB.

    Raises:
        Unreadable: there is none.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if picture.mode.startswith("I;16"):  # converting it would cut it at 255
                return Image.fromarray((np.asarray(picture) // 257).astype(np.uint8)).convert("RGB")
            return picture.convert("RGB")
    except FileNotFoundError as error:
        raise Unreadable("missing") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unreadable(f"no readable image: {error}") from error


def sound(path: Path) -> Sound:
    """A recording, mixed to one channel: what libsndfile reads, and through `ffmpeg` the sound of a film.

    Raises:
        Unreadable: there is none, or it is a film and `ffmpeg` is not on the path.
    """
    import soundfile

    if not path.is_file():
        raise Unreadable("missing")
    source: Any = io.BytesIO(_through_ffmpeg(path)) if path.suffix.lower() in (".mp4", ".mkv", ".avi") else path
    try:
        wave, rate = soundfile.read(source, dtype="float32", always_2d=True)
    except (RuntimeError, OSError, EOFError) as error:
        raise Unreadable(f"no readable audio: {error}") from error
    if not len(wave) or not np.isfinite(wave).all():
        raise Unreadable("no sound in it")
    return Sound(wave.mean(axis=1), int(rate))


def _through_ffmpeg(path: Path) -> bytes:
    if (program := shutil.which("ffmpeg")) is None:
        raise Unreadable("a film needs ffmpeg on the path, or a .wav of the same name beside it")
    command = [program, "-v", "error", "-i", str(path), "-vn", "-f", "wav", "-"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=FFMPEG_S)
    except subprocess.TimeoutExpired as error:
        raise Unreadable(f"ffmpeg took more than {FFMPEG_S} s") from error
    if done.returncode:
        raise Unreadable(f"ffmpeg: {done.stderr.decode(errors='replace').strip().rpartition(chr(10))[2]}")
    return done.stdout
