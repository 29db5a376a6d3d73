"""What a method's code returned is refused at once where its shape or type would only do harm later."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def shaped(value: Any, shape: tuple[int, ...], what: str, meaning: str, remedy: str) -> Tensor:
    """The value, if it is a tensor of this shape.

    Args:
        value: what was returned.
        shape: what it must have.
        what: whose value it is: a function's name, say.
        meaning: what the shape stands for, in a few words.
        remedy: the way out, likewise.

    Raises:
        TypeError: it is no tensor.
        ValueError: it has another shape.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{what} must be a tensor of shape {shape}, {meaning}, but is {_kind(value)}; {remedy}")
    if tuple(value.shape) != shape:
        raise ValueError(f"{what} must have the shape {shape}, {meaning}, but has {tuple(value.shape)}; {remedy}")
    return value


def entries(found: Any, hook: str) -> dict[str, Tensor]:
    """What a method keeps for a client, as the engine names it.

    Raises:
        TypeError: it is not a mapping of names to tensors.
    """
    if not isinstance(found, Mapping):
        raise TypeError(f"{hook} must return a mapping of names to tensors, but returned {_kind(found)}")
    state: dict[str, Any] = dict(found)  # pyright: ignore[reportUnknownArgumentType]
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{hook} must return tensors, but '{name}' is {_kind(value)}; use torch.tensor(...)")
    return {f"method/{n}": v for n, v in state.items()}


def hook_name(function: Any) -> str:
    """What a hook's author calls it."""
    return getattr(function, "__name__", type(function).__name__)


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
