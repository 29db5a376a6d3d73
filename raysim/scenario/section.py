"""What parts of a scenario are made of: frozen sections, kinds of numbers, and what is found by name."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Strict,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)

from raysim.registry import is_own

Count = Annotated[StrictInt, Field(ge=1)]
Rate = Annotated[float, Strict(), Field(ge=0.0, le=1.0)]
BelowOne = Annotated[float, Strict(), Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Strict(), Field(gt=0.0)]
NonNegative = Annotated[float, Strict(), Field(ge=0.0)]
Auto = Literal["auto"]


class Section(BaseModel):
    """A part of a scenario: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def named(value: Any) -> Any:
    """`zero_fill` is short for `{name: zero_fill}`."""
    return {"name": value} if isinstance(value, str) else value


class Component(Section):
    """Something found by name (a method, a dataset, an algorithm) with its own options beside the name.

    The name is a file's (`zero_fill`), an entry point's, or `package.module:Class`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    name: StrictStr = Field(min_length=1, description="A listed name, or package.module:Class.", examples=["NAME"])

    @property
    def options(self) -> dict[str, Any]:
        """All that the scenario says beside the name."""
        return dict(self.model_extra or {})


Named = Annotated[Component, BeforeValidator(named)]
OWN = WithJsonSchema(
    {"type": "object", "properties": {"name": {"type": "string", "pattern": ":", "phrase": "package.module:Class"}}}
)
"""What messages say of a component of one's own: no more than how to write its name."""


def by_name(kind: str, own: type[Component], sections: Sequence[str] = ()) -> Discriminator:
    """Tells components of one's own, which are found by name, from those of the schema.

    Tags are `own`, `listed`, and the name itself of sections that have one alone.
    """

    def chosen(value: Any) -> str:
        name: Any = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if name in sections:
            return str(name)  # pyright: ignore[reportUnknownArgumentType]
        return "own" if isinstance(value, own) or (isinstance(name, str) and is_own(kind, name)) else "listed"

    return Discriminator(chosen)


def as_tuple(value: Any) -> Any:
    """A list as a tuple, also where pydantic is strict: in a method's options."""
    return tuple(cast(list[Any], value)) if isinstance(value, list) else value
