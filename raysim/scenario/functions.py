"""Functions of one's own that a scenario names: partitions, missing patterns, augmentations.

A function gets what it asks for of `registry.GIVEN` by name; its other parameters are options, typed by their
annotations. Of a class the constructor takes the options, and its instances are called like the function.
"""

import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from raysim import constructors, registry
from raysim.scenario.section import Component

_RAYSIM = Path(__file__).parents[1]


@dataclass(frozen=True)
class Function:
    """A function with its options.

    Attributes:
        name: as the scenario names it.
        takes: what it asks for of what is given.
        file: where it is written.
    """

    name: str
    takes: tuple[str, ...]
    file: str | None
    _run: Callable[..., Any]

    def __call__(self, given: Mapping[str, Any]) -> Any:
        """What it makes of what is given.

        Raises:
            ValueError: it fails; one line.
        """
        try:
            return self._run(**{name: given[name] for name in self.takes})
        except Exception as error:
            raise ValueError(f"'{self.name}' fails: {failure(error, self.file)}") from error


def bound(kind: str, spec: Component) -> Function:
    """The function that a section names.

    Raises:
        ValueError: there is none, its constructor fails, or it asks for something that is not given; one line.
    """
    given = registry.GIVEN[kind]
    try:
        found: Callable[..., Any] = registry.find(kind, spec.name)
    except registry.UnknownNameError as error:
        raise ValueError(str(error)) from error
    said = registry.validated(registry.settings_of(kind, found), spec.options)
    options = {name: getattr(said, name) for name in said.model_fields_set}
    file, run = inspect.getsourcefile(found), cast(Callable[..., Any], partial(found, **options))
    if inspect.isclass(found):
        try:
            built: Any = found(**options)
        except Exception as error:
            raise ValueError(f"'{spec.name}' cannot be built: {failure(error, file)}") from error
        run, unknown = built, constructors.asked(built, given)
        if unknown:
            raise ValueError(
                f"'{spec.name}' is called with {', '.join(given)}, and asks for '{unknown[0]}'; options belong to its "
                "constructor"
            )
    return Function(spec.name, constructors.taken(run, given), file, run)


def failure(error: Exception, file: str | None = None) -> str:
    """Where and what, in one line: the innermost place in that file, or else outside of raysim."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not Path(f.filename).is_relative_to(_RAYSIM)] or frames
    frame = next((f for f in reversed(frames) if f.filename == file), theirs[-1])
    return f"{frame.filename}:{frame.lineno}: {type(error).__name__}: {' '.join(str(error).split())}"
