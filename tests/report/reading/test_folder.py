"""Who may write to a study's folder."""

import json
import os

import pytest

from raysim.report.reading.folder import FolderError, fresh, newest, opened
from raysim.scenario.trial import load

BASE = """name: t
seeds: [0, 1]
dataset: polydigits
partition: {name: iid, clients: 4}
method: zero_fill
federation: {rounds: 2}
"""


@pytest.fixture
def study(tmp_path):
    """Opens a folder for the trials of a scenario and closes it again."""
    path = tmp_path / "s.yaml"
    path.write_text(BASE)

    def study(*overrides, resume=False, folder=tmp_path / "out"):
        return opened(folder, load(path, overrides), resume=resume)

    study.folder = tmp_path / "out"
    return study


def refused(opening, match):
    with pytest.raises(FolderError, match=match) as caught, opening:
        pass
    assert "\n" not in str(caught.value)


def test_a_study_leaves_its_trials_and_no_lock(study):
    with study():
        assert (study.folder / ".lock").read_text().startswith(f"process {os.getpid()} on ")
        (study.folder / "t").mkdir()
    assert sorted(p.name for p in study.folder.iterdir()) == ["study.json", "t"]
    assert list(json.loads((study.folder / "study.json").read_text())["trials"]) == ["t/seed=0", "t/seed=1"]


def test_one_that_has_not_begun_leaves_the_folder_empty_or_takes_it_along(study):
    with pytest.raises(KeyError), study():
        raise KeyError
    assert not study.folder.exists()  # it was made for it
    study.folder.mkdir()
    with pytest.raises(KeyError), study():
        raise KeyError
    assert list(study.folder.iterdir()) == []
    with study("federation.rounds=3"):
        pass


def test_it_is_gone_on_with_only_if_that_is_asked_for(study):
    with study():
        (study.folder / "t").mkdir(exist_ok=True)
    refused(
        study(), rf"^{study.folder}: is not empty; go on with its study by --resume, or choose another folder, e.g."
    )
    with study(resume=True):
        pass
    with study("placement.actors=2", resume=True):
        pass


def test_another_study_is_refused_with_the_difference(study):
    with study():
        (study.folder / "t").mkdir(exist_ok=True)
    refused(
        study("federation.rounds=1", resume=True),
        r"study is another one: t/seed=0: federation.rounds was 2, is 1; t/seed=1: federation.rounds was 2, is 1; undo"
        r" the change, or choose another folder with --out$",
    )
    refused(
        study("federation.rounds=3", "model.dim=8", resume=True), r"one: t/seed=0: model.dim was 64, is 8; t/seed=1"
    )
    seeds = study(f"seeds={list(range(2, 9))}", resume=True)
    refused(
        seeds, r"one: t/seed=0 was there and is not; t/seed=1 was there and is not; .*; and 4 more; undo the change"
    )


def test_seeds_may_be_added_and_left_out(study):
    with study():
        (study.folder / "t").mkdir(exist_ok=True)
    with study("seeds=[1, 2]", resume=True):
        pass
    found = json.loads((study.folder / "study.json").read_bytes())
    assert (list(found["trials"]), found["begun"]) == (["t/seed=0", "t/seed=1", "t/seed=2"], 1)
    refused(study("seeds=[2, 3]", "federation.rounds=1", resume=True), r"t/seed=2: federation.rounds was 2, is 1; undo")


def test_there_may_be_more_rounds_of_some_trials(study):
    with study():
        (study.folder / "t").mkdir(exist_ok=True)
    with study("seeds=[1, 2]", "federation.rounds=3", resume=True):
        pass
    found = json.loads((study.folder / "study.json").read_bytes())["trials"]
    assert {n: s["federation"]["rounds"] for n, s in found.items()} == {"t/seed=0": 2, "t/seed=1": 3, "t/seed=2": 3}
    refused(study("seeds=[1]", resume=True), r"t/seed=1: federation.rounds was 3, is 2; undo the change")


def test_one_at_a_time_and_a_crash_leaves_no_lock_behind(study):
    with study():
        (study.folder / "t").mkdir()
        refused(study(resume=True), r": another raysim run is at work there \(process \d+ on \S+\); wait")
    (study.folder / ".lock").write_text("process 1 on a host that went down\n")  # nobody holds it
    with study(resume=True):
        assert str(os.getpid()) in (study.folder / ".lock").read_text()


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_with_something_else_is_left_alone(study, resume):
    study.folder.mkdir()
    (study.folder / "thesis.txt").touch()
    refused(study(resume=resume), r"; choose another folder, e.g. --out \S+/out-2$")
    assert [p.name for p in study.folder.iterdir()] == ["thesis.txt"]


def test_there_must_be_a_study_to_go_on_with(study):
    refused(study(resume=True), r": there is no study to go on with; leave --resume out to begin one$")
    with study():
        (study.folder / "t").mkdir(exist_ok=True)


@pytest.mark.parametrize(
    ("text", "why"), [("{", "cannot be read"), ("[]", "cannot be read"), ('{"format": "x"}', "is of another version")]
)
def test_a_damaged_list_of_trials(study, text, why):
    study.folder.mkdir()
    (study.folder / "study.json").write_text(text)
    refused(study(resume=True), rf"study.json: {why}.*; choose another folder with --out$")


def test_a_folder_that_cannot_be_made(study, tmp_path):
    refused(study(folder=tmp_path / "s.yaml" / "deeper"), r"deeper: cannot be written: Not a directory; choose another")


def written(base, name, begun=None, scenario="t"):
    """A study's folder, from before studies noted their number where that is None."""
    (base / name).mkdir()
    number = {} if begun is None else {"begun": begun}
    (base / name / "study.json").write_text(json.dumps({**number, "trials": {f"{scenario}/seed=0": {}}}))


def test_the_newest_is_the_one_that_was_begun_last_whatever_its_name(tmp_path):
    assert newest(tmp_path, "t", {"t"}) is None
    (tmp_path / "t-20280101-000000").mkdir()  # has no study
    written(tmp_path, "t-20290101-000000")
    assert newest(tmp_path, "t", {"t"}).name == "t-20290101-000000"
    written(tmp_path, "t-20260102-000000", 9)
    written(tmp_path, "t-20260101-235959-2", 10)
    written(tmp_path, "t-mine", 11)
    written(tmp_path, "t-2-20270101-000000", 12, "t-2")
    assert newest(tmp_path, "t", {"t"}).name == "t-20260101-235959-2"
    assert newest(tmp_path, "t-2", {"t-2"}).name == "t-2-20270101-000000"
    assert newest(tmp_path, "t", {"t", "u"}) is None


def test_studies_count_those_beside_them(study, tmp_path):
    for number, name in enumerate(("z", "b", "a"), 1):
        with study(folder=tmp_path / "base" / name):
            (tmp_path / "base" / name / "t").mkdir()
        assert json.loads((tmp_path / "base" / name / "study.json").read_text())["begun"] == number


def test_studies_of_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("raysim.report.reading.folder.time.strftime", lambda _: "20260101-000000")
    names = [fresh(tmp_path / "results", "t").name for _ in range(3)]
    assert names == [f"t-20260101-000000{more}" for more in ("", "-2", "-3")]
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="cannot be written: Not a directory; choose another folder with --out"):
        fresh(tmp_path / "file", "t")
