"""Where layers get their random numbers from: the training loop installs a source, nothing is global to torch.

So dropout draws each client's own numbers, whatever company the client is trained in.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from torch import Tensor

Kind = Literal["uniform", "normal"]
Source = Callable[[tuple[int, ...], Kind], Tensor]
"""`source(shape, kind)`: a new tensor of that shape, client axis included; `uniform` is in [0, 1)."""

_source: ContextVar[Source | None] = ContextVar("noise_source", default=None)


@contextmanager
def noise_source(source: Source) -> Generator[None]:
    """Layers inside this block draw from `source`."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


def draw(shape: tuple[int, ...], kind: Kind) -> Tensor:
    """The next numbers of the current source, on its device.

    Raises:
        RuntimeError: no source is installed.
    """
    source = _source.get()
    if source is None:
        raise RuntimeError(f"no noise source for a draw of {shape}; train inside noise_source(...), or call .eval()")
    return source(shape, kind)
