"""Every random draw of raysim is a function of (seed, purpose, ids), never of what was drawn before.

So round 57 needs no replay of rounds 0 to 56, and a client draws the same numbers wherever, whenever and
in whatever company it is trained.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray


def derive(seed: int, purpose: str, *ids: int | str) -> int:
    """The 128-bit key of one draw; equal arguments give equal keys on every machine."""
    return int.from_bytes(_digest(seed, purpose, *ids), "little")


def stream(seed: int, purpose: str, *ids: int | str) -> np.random.Generator:
    """A generator of its own for one draw.

    Draws are sequential: the first n numbers of a longer draw are the numbers of a draw of n, so padding
    a batch at its end leaves the valid rows unchanged.
    """
    key: Any = _Key(
        _digest(seed, purpose, *ids)
    )  # numpy's types know SeedSequence only, its documentation the interface
    return np.random.Generator(np.random.Philox(key))


def permutations(
    seed: int, purpose: str, owners: Sequence[tuple[int | str, ...]], counts: Sequence[int]
) -> NDArray[np.int64]:
    """A random order of range(count) for each owner: by hashes of the numbers, all owners at once.

    Args:
        seed: the trial's.
        purpose: of the draw.
        owners: the ids of each of O owners.
        counts: how many numbers each orders.

    Returns:
        (O, N) for the largest count N; each owner's order is the first `count` numbers of its row.
    """
    keys = np.frombuffer(b"".join([_digest(seed, purpose, *ids) for ids in owners]), dtype="<u8").reshape(-1, 2)
    numbers = np.arange(max(counts, default=0), dtype=np.uint64)
    hashes = keys[:, :1] + (keys[:, 1:] | np.uint64(1)) * numbers
    # The finaliser of splitmix64 (Steele et al. 2014).
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * np.uint64(factor)
    hashes[numbers >= np.array(counts, dtype=np.uint64)[:, None]] = np.iinfo(np.uint64).max
    return np.argsort(hashes, axis=1, kind="stable")


def _digest(seed: int, purpose: str, *ids: int | str) -> bytes:
    text = "\x1f".join([str(seed), purpose, *[f"{type(i).__name__[0]}{i}" for i in ids]])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class _Key(ISeedSequence):
    """Hands Philox its key as it is; `Philox(key=...)` would ask the system for entropy first, at twice the time."""

    def __init__(self, key: bytes) -> None:
        self._key = np.frombuffer(key, dtype="<u8")

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[np.uint64]:
        """The key, which Philox asks for as two words."""
        return self._key
