"""What a scenario may say of a class without `Options`: the parameters of its constructor that raysim does not give.

So a torch module, or a function, that knows nothing of raysim can be named as it is.
"""

import inspect
from collections.abc import Collection
from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, create_model

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def taken(component: Any, given: Collection[str]) -> tuple[str, ...]:
    """Which of the names that raysim gives a constructor asks for."""
    return tuple(n for n, p in _parameters(component).items() if n in given and p.kind in _NAMED)


def leading(function: Any, count: int) -> tuple[str, ...]:
    """The names of a function's first parameters.

    Raises:
        TypeError: it cannot be called with so many arguments.
    """
    inspect.signature(function).bind_partial(*[None] * count)
    return tuple(islice(_parameters(function), count))


def options_of(component: Any, given: Collection[str]) -> type[BaseModel]:
    """The other parameters as a pydantic model, typed by their annotations.

    Unknown keys are errors, unless the constructor has `**parameters`. What cannot be written in YAML (a function, say)
    keeps its default.
    """
    parameters = _parameters(component)
    fields: dict[str, Any] = {
        name: (_annotation(p), ... if p.default is p.empty else p.default)
        for name, p in parameters.items()
        if p.kind in _NAMED and name not in given and (p.default is p.empty or _writable(_annotation(p)))
    }
    extra = "allow" if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) else "forbid"
    return create_model("Options", __config__=ConfigDict(extra=extra, protected_namespaces=()), **fields)


def _parameters(component: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(component, eval_str=True).parameters)


def _annotation(parameter: inspect.Parameter) -> Any:
    return Any if parameter.annotation is parameter.empty else parameter.annotation


def _writable(annotation: Any) -> bool:
    try:
        TypeAdapter(annotation).json_schema()
    except PydanticUserError:
        return False
    return True
