"""UTD-MHAD: 27 actions by eight people: accelerometer, gyroscope, skeleton and depth.

Chen, Jafari and Kehtarnavaz, "UTD-MHAD: A multimodal dataset for human action recognition", ICIP 2015. The people are
the natural clients. Each did every action four times (861 of 864 recordings exist); the fourth time is for testing.
By default four readings become their mean: 12.5 a second, skeletons 7.5 a second.
"""

import re
import zlib
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from raysim.data.arrays import Standardize
from raysim.data.dataset import Array
from raysim.data.media import Unreadable
from raysim.data.recipe import About, Index, Medium, Recipe

ACTIONS = (
    "swipe left", "swipe right", "wave", "clap", "throw", "cross arms", "basketball shot", "draw x",
    "draw circle clockwise", "draw circle counter clockwise", "draw triangle", "bowling", "boxing", "baseball swing",
    "tennis swing", "arm curl", "tennis serve", "push", "knock", "catch", "pick up and throw", "jog", "walk",
    "sit to stand", "stand to sit", "lunge", "squat",
)  # fmt: skip
FRAMES, BLOCK = 16, 4
TEST_TRIAL = 4


class UtdMhad(Recipe):
    """Sequences `accelerometer` and `gyroscope` (T, 3), `skeleton` (T, 60); `depth`: 16 frames (16, 60, 80) uint8."""

    class Options(Recipe.Options):
        """Sensor readings are standardised."""

        standardize: Standardize = True

    about = About(
        home="https://personal.utdallas.edu/~kehtar/UTD-MHAD.html",
        terms="for research, with citation",
        layout=(
            "Inertial/aA_sS_tT_inertial.mat, Skeleton/aA_sS_tT_skeleton.mat, Depth/aA_sS_tT_depth.mat,",
            "or inertial.npz, skeleton.npz, depth_16x60x80_u8.npz: the same, depth already reduced",
        ),
    )
    features: ClassVar = {
        **dict.fromkeys(("accelerometer", "gyroscope", "skeleton"), ({"name": "keep", "pool": 4}, "keep")),
        "depth": ("keep",),
    }

    @classmethod
    def index(cls, root: Path, settings: Recipe.Settings) -> Index:
        """All recordings, by action, person and trial."""
        if (root / "inertial.npz").is_file():
            keys, media = cls._archives(root)
        else:
            keys, media = cls._files(root)
        actions, people, trials = np.array(keys).T
        return Index(
            media=media,
            labels=actions - 1,
            classes=ACTIONS,
            split=np.where(trials == TEST_TRIAL, "test", "train"),
            clients=np.array([f"s{p}" for p in people]),
        )

    @classmethod
    def _archives(cls, root: Path) -> tuple[list[tuple[int, int, int]], dict[str, Medium]]:
        action, subject, trial, data, offsets = cls.arrays(
            root, "inertial.npz", "action", "subject", "trial", "data", "offsets"
        )
        keys = list(zip(action.tolist(), subject.tolist(), trial.tolist(), strict=True))
        inertial = np.split(data, offsets[1:-1])
        data, offsets = cls.arrays(root, "skeleton.npz", "data", "offsets")
        skeleton = [s.reshape(len(s), -1) for s in np.split(data, offsets[1:-1])]
        (depth,) = cls.arrays(root, "depth_16x60x80_u8.npz", "data")
        return keys, {
            "accelerometer": Medium("array", [a[:, :3] for a in inertial]),
            "gyroscope": Medium("array", [a[:, 3:] for a in inertial]),
            "skeleton": Medium("array", skeleton),
            "depth": Medium("array", list(depth)),
        }

    @classmethod
    def _files(cls, root: Path) -> tuple[list[tuple[int, int, int]], dict[str, Medium]]:
        folder = cls.need(root, "Inertial")
        found = {tuple(map(int, m.groups())): p for p in folder.glob("*.mat")
                 if (m := re.fullmatch(r"a(\d+)_s(\d+)_t(\d+)_inertial", p.stem))}  # fmt: skip
        if not found:
            raise cls.error(f"{folder} has no aA_sS_tT_inertial.mat")
        keys: list[Any] = sorted(found)

        def paths(kind: str) -> list[Path]:
            return [root / kind / f"a{a}_s{s}_t{t}_{kind.lower()}.mat" for a, s, t in keys]

        return keys, {
            "accelerometer": Medium("array", paths("Inertial"), accelerometer),
            "gyroscope": Medium("array", paths("Inertial"), gyroscope),
            "skeleton": Medium("array", paths("Skeleton"), skeleton),
            "depth": Medium("array", paths("Depth"), depth),
        }


def accelerometer(path: Path) -> Array:
    """(T, 3) in g, at 50 Hz."""
    return _matrix(path, "d_iner", (None, 6))[:, :3]


def gyroscope(path: Path) -> Array:
    """(T, 3) in degrees a second, at 50 Hz."""
    return _matrix(path, "d_iner", (None, 6))[:, 3:]


def skeleton(path: Path) -> Array:
    """(T, 60): 20 joints in metres, at 30 Hz."""
    joints = _matrix(path, "d_skel", (20, 3, None)).transpose(2, 0, 1)  # (20, 3, T)
    return joints.reshape(len(joints), -1)


def depth(path: Path) -> Array:
    """(16, 60, 80) uint8: evenly spaced frames; a block of 4 x 4 is the mean of its pixels, in units of 16 mm.

    A block in which fewer than half of the pixels see anything is background, 0.
    """
    frames = _matrix(path, "d_depth", (240, 320, None)).transpose(2, 0, 1)  # (height, width, T)
    chosen = frames[np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)].astype(np.float64)
    t, height, width = chosen.shape
    blocks = chosen.reshape(t, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    seen = (blocks > 0).sum(axis=(2, 4))
    mean = blocks.sum(axis=(2, 4)) / np.maximum(seen, 1)
    return np.where(seen * 2 >= BLOCK * BLOCK, np.clip(np.rint(mean / 16), 0, 255), 0).astype(np.uint8)


def _matrix(path: Path, key: str, shape: tuple[int | None, ...]) -> Array:
    from scipy.io import loadmat  # pyright: ignore[reportUnknownVariableType]
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise Unreadable("missing")
    try:
        found: Array = cast("dict[str, Array]", loadmat(path))[key]
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError, MatReadError, zlib.error) as error:
        raise Unreadable(f"no MATLAB file with {key}: {error}") from error
    like = found.ndim == len(shape) and all(s in (None, n) for n, s in zip(found.shape, shape, strict=True))
    if not like or not found.size or found.dtype.kind not in "fiu":
        raise Unreadable(f"{key} has shape {found.shape} and type {found.dtype}")
    return found
