"""What is wrong with a scenario, and where, in one line."""

from typing import NamedTuple


class Place(NamedTuple):
    """Where a value comes from: a file and a line, or a `--set` option, which has no line."""

    path: str
    line: int | None = None

    def __str__(self) -> str:
        return self.path if self.line is None else f"{self.path}:{self.line}"


class ScenarioError(ValueError):
    """A user's mistake: `file:line: key: what is wrong; what to do`. Survives pickling.

    Attributes:
        place: the file and line, or the `--set` option.
        key: the dotted key, or empty when the whole file is meant.
        message: what is wrong and what to do.
    """

    def __init__(self, place: Place, key: str, message: str) -> None:
        super().__init__(place, key, message)
        self.place = place
        self.key = key
        self.message = message

    def __str__(self) -> str:
        return one_line(": ".join(part for part in (str(self.place), self.key, self.message) if part))


def one_line(text: str) -> str:
    """The text with line breaks and other control characters written as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(value: object, width: int = 50) -> str:
    """A value as an error message quotes it: in one line, and not too long."""
    text = {True: "true", False: "false", None: "empty"}[value] if isinstance(value, bool | None) else repr(value)
    return text if len(text) <= width else f"{text[: width - 1]}…"
