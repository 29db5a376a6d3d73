"""What parts of a scenario are made of: frozen sections, kinds of numbers, and what is found by name."""

from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, StrictInt, StrictStr

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


def as_tuple(value: Any) -> Any:
    """A list as a tuple, also where pydantic is strict: in a method's options."""
    return tuple(cast(list[Any], value)) if isinstance(value, list) else value
