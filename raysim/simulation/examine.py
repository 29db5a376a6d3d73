"""Prepares trials before anybody wants to run them, as far as that is cheap: what is wrong with them, what there is."""

import time
from collections.abc import Sequence
from pathlib import Path

from raysim import registry
from raysim.data.dataset import DataError, Source
from raysim.data.federated import Federated
from raysim.data.remarks import remarks
from raysim.data.summary import described
from raysim.scenario.trial import Trial
from raysim.simulation.loaded import data_key
from raysim.simulation.prepare import prepare

MOST_READ = 256 << 20
"""Bytes of data that are read for this."""
PATIENCE_S = 10.0
"""Trials that are not prepared by then are left to `raysim run`: first come those that differ in more than the seed."""


def examine(trials: Sequence[Trial]) -> list[str]:
    """Prepares a scenario's trials where their data is here and small, or needs no reading.

    Returns:
        Some lines for each dataset, and what was not checked.

    Raises:
        ScenarioError: a trial cannot start; with its place.
    """
    found, unread = dict[str, list[str]](), dict[str, str]()
    late, until = 0, time.monotonic() + PATIENCE_S
    for trial in sorted(trials, key=lambda t: t.seed != trials[0].seed):
        key = data_key(trial.scenario)
        if key not in found and key not in unread and (why := _unread(trial)):
            unread[key] = why
        if key in unread:
            continue
        if key in found and time.monotonic() > until:
            late += 1
            continue
        data = prepare(trial).data
        if key not in found:
            found[key] = _described(trial, data)
    lines = [line for each in found.values() for line in each]
    lines += dict.fromkeys(unread.values())
    return [*lines, f"{late} of {len(trials)} trials are checked with their data by run alone"] if late else lines


def _unread(trial: Trial) -> str:
    """Why a trial's data is not read here; empty where it is."""
    spec = trial.scenario.dataset
    source: type[Source] = registry.find("dataset", spec.name)
    try:
        size = source(registry.options(source, spec.options)).reads()
    except DataError as error:
        raise trial.error(error.section, str(error)) from error
    if size is None:
        return f"{spec.name}: the data is not prepared here: what depends on it is checked by run"
    if size > MOST_READ:
        return f"{spec.name}: {size / 1e9:.1f} GB of data are not read here: what depends on them is checked by run"
    return ""


def _described(trial: Trial, data: Federated) -> list[str]:
    spec, dataset = trial.scenario.dataset, data.dataset
    path = spec.options.get("path")
    lines = described(spec.name if path is None else Path(str(path)).name, dataset, data)
    return [*lines, *(f"look at the data: {text}" for text in remarks(dataset))]
