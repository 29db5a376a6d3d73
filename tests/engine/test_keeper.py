"""Checkpoints of a study's trials. No Ray is started."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from raysim.report.events import CheckpointWritten, Warned
from raysim.simulation import keeper as module
from raysim.simulation.keeper import Keeper, as_resolved
from raysim.simulation.prepare import prepare
from raysim.simulation.snapshot import Snapshot


@pytest.fixture
def study(small, tmp_path):
    """A keeper, a trial, and how a round of it ends."""
    trial = small.trial("numerics.stack=auto")
    info = prepare(trial).info
    folder = tmp_path / "small" / info.name
    folder.mkdir(parents=True)

    def end(round_, *clients):
        with (folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"round": round_}) + "\n")
        known = {c: {"step": np.int64(round_)} for c in clients}
        return Snapshot(round_, {"w": np.float32([round_])}, {}, {}, known, {"best": None})

    numerics = trial.scenario.numerics.model_copy(update={"stack": 3})
    resolved = replace(trial, scenario=trial.scenario.model_copy(update={"numerics": numerics}))
    return SimpleNamespace(
        keeper=Keeper(tmp_path), again=lambda: Keeper(tmp_path), trial=trial, resolved=resolved, info=info, end=end,
        folder=folder,
    )  # fmt: skip


def test_what_was_saved_is_found_again(study):
    assert study.keeper.newest(study.trial, study.info) is None
    written = study.keeper.save(study.resolved, study.info, study.end(1, 4, 5))
    assert isinstance(written, CheckpointWritten)
    assert (written.round, written.bytes > 500, study.keeper.seconds(study.info) > 0) == (1, True, True)
    found = study.again().newest(study.trial, study.info)
    assert found.snapshot.clients == {4: {"step": 1}, 5: {"step": 1}}
    assert as_resolved(study.trial, found).scenario.numerics.stack == 3
    assert list(study.keeper.remarks(found, study.info)) == []


def test_the_placement_is_that_of_the_run_that_goes_on(study, small):
    study.keeper.newest(study.trial, study.info)
    study.keeper.save(study.resolved, study.info, study.end(1))
    other = small.trial("numerics.stack=auto", "placement.actors=5", "federation.checkpoint.keep=7")
    found = study.again().newest(other, study.info)
    assert as_resolved(other, found).scenario.placement.actors == 5
    assert as_resolved(other, found).scenario.federation.checkpoint.keep == 7


def test_other_versions_are_mentioned(study, monkeypatch):
    study.keeper.newest(study.trial, study.info)
    study.keeper.save(study.resolved, study.info, study.end(1))
    monkeypatch.setitem(module.VERSIONS, "torch", "9.9")
    found = study.again().newest(study.trial, study.info)
    (remark,) = study.keeper.remarks(found, study.info)
    assert remark.text.startswith("begun with torch 2.")
    assert remark.text.endswith("; the last digits may differ from there on")


def test_what_could_not_be_written_is_in_the_next_one(study, monkeypatch):
    study.keeper.newest(study.trial, study.info)
    study.keeper.save(study.resolved, study.info, study.end(1, 1, 2))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.Checkpoints, "write", full)
        told = [study.keeper.save(study.resolved, study.info, study.end(r, c)) for r, c in ((2, 2), (3, 3))]
    assert [isinstance(event, Warned) for event in told] == [True, False]  # once is enough
    assert told[0].text == "round 2: no checkpoint was written: No space left on device; the one before stays"
    assert isinstance(study.keeper.save(study.resolved, study.info, study.end(4, 1)), CheckpointWritten)
    found = study.again()._of(study.trial, study.info).read().snapshot
    assert {c: int(s["step"]) for c, s in found.clients.items()} == {1: 4, 2: 2, 3: 3}


def test_numbers_that_the_format_lacks_are_no_crash(study):
    study.keeper.newest(study.trial, study.info)
    snapshot = replace(study.end(1), clients={1: {"odd": np.array(["text"])}})
    assert "round 1: no checkpoint was written: " in study.keeper.save(study.resolved, study.info, snapshot).text


def test_nothing_is_left_of_a_finished_trial(study):
    study.keeper.newest(study.trial, study.info)
    study.keeper.save(study.resolved, study.info, study.end(1, 1))
    study.again().end(study.info)  # also if the process was killed between the summary and this
    assert [p.name for p in study.folder.iterdir()] == ["metrics.jsonl"]
