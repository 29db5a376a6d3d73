"""Every random draw of raysim is a function of (seed, purpose, ids), never of what was drawn before.

So round 57 needs no replay of rounds 0 to 56, and a client draws the same numbers wherever, whenever and
in whatever company it is trained.
"""

import hashlib

import numpy as np


def derive(seed: int, purpose: str, *ids: int | str) -> int:
    """The 128-bit key of one draw; equal arguments give equal keys on every machine."""
    text = "\x1f".join((str(seed), purpose, *(f"{type(i).__name__[0]}{i}" for i in ids)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def stream(seed: int, purpose: str, *ids: int | str) -> np.random.Generator:
    """A generator of its own for one draw.

    Draws are sequential: the first n numbers of a longer draw are the numbers of a draw of n, so padding
    a batch at its end leaves the valid rows unchanged.
    """
    return np.random.Generator(np.random.Philox(key=derive(seed, purpose, *ids)))
