"""Trackers that the command line adds to those of the scenarios."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from raysim.scenario.errors import Place, one_line
from raysim.scenario.section import Component
from raysim.scenario.trial import Trial


def tracked(trials: Iterable[Trial], names: Sequence[str]) -> tuple[Trial, ...]:
    """The trials with trackers that their scenario does not have yet, by name alone.

    Args:
        trials: of one scenario.
        names: as `--track` gives them; what is wrong with one is said of that.
    """
    return tuple(_tracked(trial, dict.fromkeys(names)) for trial in trials)


def _tracked(trial: Trial, names: Iterable[str]) -> Trial:
    found, places = list(trial.scenario.tracking), dict(trial.source.places)
    for name in names:
        if name not in [tracker.name for tracker in found]:
            places[f"tracking.{len(found)}"] = Place(one_line(f"--track {name}"))
            found.append(Component.model_construct(name=name))
    scenario = trial.scenario.model_copy(update={"tracking": tuple(found)})
    return replace(trial, scenario=scenario, source=replace(trial.source, places=places))
