"""Some stages of a method, so that they can be timed by themselves."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field
from torch import Tensor

from raysim import registry
from raysim.method import Batch, Group, Method, Nets, Phase, Task
from raysim.scenario.section import Component


class Only(Method):
    """The method that `of` names, with no stages but these; what it observes, keeps or selects is left out."""

    class Options(Method.Options):
        """Which method, and which of its stages."""

        of: dict[str, Any] = Field(description="The method: its name and its options.")
        stages: tuple[str, ...] = Field(min_length=1, description="Names of its stages.")

    options: Options

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        inner = Component.model_validate(options.of)
        kind = registry.find("method", inner.name)
        self._method: Method = kind(registry.options(kind, inner.options))
        self.replicas: Mapping[str, Any] = self._method.replicas

    def check(self, task: Task) -> None:
        """Refuses a name that is no stage."""
        self._method.check(task)
        names = [stage.name for phase in self._method.phases(task) for stage in phase.stages]
        for name in self.options.stages:
            if name not in names:
                raise ValueError(f"method.stages names '{name}', {self.options.of['name']} has: {', '.join(names)}")

    def modules(self, task: Task) -> dict[str, Group]:
        """All networks of the method."""
        return self._method.modules(task)

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """The method's phases, cut."""
        return tuple(
            replace(phase, stages=tuple(s for s in phase.stages if s.name in self.options.stages))
            for phase in self._method.phases(task)
        )

    def predict(self, nets: Nets, batch: Batch) -> Tensor:
        """As the method does."""
        return self._method.predict(nets, batch)
