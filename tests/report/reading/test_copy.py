"""Which side is right when a study at a URL is opened: the URL, unless the run that left the copy wrote there last."""

import json

import pytest
from stores import contents, fresh_odd
from studies import small_study

from raysim.report.reading import copy as copies
from raysim.report.reading.copy import Copy, copied, copied_here, copied_trial, files_in
from raysim.report.reading.folder import FolderError
from raysim.report.reading.urls import shown

URL = "odd://b/x"
MANIFEST = "s/t/checkpoints/round-000001.json"


@pytest.fixture
def odd(monkeypatch):
    monkeypatch.setattr(copies, "BEAT_S", 0.05)
    return fresh_odd()


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Goes to a machine, by its name."""
    return lambda name: monkeypatch.setenv("RAYSIM_CACHE", str(tmp_path / name))


def begun(*, resume=False, said=None):
    copy = Copy(URL)
    copy.begin(resume=resume, say=[].append if said is None else said.append)
    return copy


def sent(copy, files):
    """A run writes files here and there."""
    for name, text in files.items():
        (copy.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (copy.folder / name).write_text(text)
    done, problem = copy.store.put({name: copy.folder / name for name in files})
    assert (sorted(done), problem) == (sorted(files), "")
    copy.files |= {name: files_in(copy.folder)[name] for name in files}
    copy.save()


def texts(folder):
    return {name: (folder / name).read_text() for name in files_in(folder)}


STUDY = {"study.json": "{}", "s/t/metrics.jsonl": "1\n", MANIFEST: "m"}


def test_another_machine_gets_what_is_there_and_the_first_what_that_has_changed(odd, machine):
    machine("a")
    first = begun()
    sent(first, STUDY)
    first.end()
    machine("b")
    second = begun(resume=True)
    assert texts(second.folder) == STUDY
    assert second.folder != first.folder
    sent(second, {"s/t/metrics.jsonl": "1\n2\n"})
    second.store.remove([MANIFEST])
    second.end()
    machine("a")
    told = []
    third = begun(resume=True, said=told)
    assert texts(third.folder) == {"study.json": "{}", "s/t/metrics.jsonl": "1\n2\n"}
    assert (told, third.files) == ([], files_in(third.folder))


def test_what_this_machine_wrote_last_and_could_not_send_is_right(odd, machine):
    machine("a")
    first = begun()
    sent(first, STUDY)
    (first.folder / "s/t/metrics.jsonl").write_text("1\n2\n")
    again = begun(resume=True)  # killed: it did not say that it ended, which needs no waiting
    assert texts(again.folder)["s/t/metrics.jsonl"] == "1\n2\n"
    assert again.files["s/t/metrics.jsonl"] != files_in(again.folder)["s/t/metrics.jsonl"]


def test_what_could_not_be_sent_is_kept_aside_where_another_machine_has_gone_on(odd, machine):
    machine("a")
    first = begun()
    sent(first, STUDY)
    (first.folder / "s/t/metrics.jsonl").write_text("1\n2\n")
    first.end()
    machine("b")
    begun(resume=True).end()
    machine("a")
    told, kept = [], first.home / "unsent-1"
    assert texts(begun(resume=True, said=told).folder) == STUDY
    assert told == [f"odd:///b/x: another run has gone on there; what this machine had not sent is kept in {kept}"]
    assert (kept / "s/t/metrics.jsonl").read_text() == "1\n2\n"


def test_one_that_has_not_ended_is_waited_for_and_refused_if_it_is_at_work(odd, machine, monkeypatch):
    machine("a")
    first = begun()
    sent(first, STUDY)
    machine("b")
    told = []
    begun(resume=True, said=told)  # it gives no sign
    assert told[0].startswith("odd:///b/x: process ")
    assert first.other() != ""
    machine("c")
    monkeypatch.setattr(copies.time, "sleep", lambda seconds: first.beat())
    with pytest.raises(FolderError, match=r"^odd:///b/x: another raysim run is at work there \(process "):
        begun(resume=True)


def test_a_url_is_refused_as_a_folder_is(odd, machine):
    machine("a")
    with pytest.raises(FolderError, match=r"^odd:///b/x: there is no study to go on with; leave --resume out"):
        begun(resume=True)
    assert odd.store == {}
    first = begun()
    sent(first, STUDY)
    machine("b")
    with pytest.raises(
        FolderError, match=r"^odd:///b/x: is not empty; go on with its study by --resume, or .* odd:///b/x-2$"
    ):
        begun()
    first.store.remove(["study.json"])
    with pytest.raises(FolderError, match=r"^odd:///b/x: holds something, and no study to go on with; choose"):
        begun(resume=True)
    first.store.remove(STUDY)
    machine("a")
    assert texts(begun().folder) == {}  # who removes all there begins anew


def test_who_reads_gets_what_is_new_without_checkpoints_and_leaves_no_trace(odd, machine, tmp_path):
    machine("a")
    first = begun()
    small_study(tmp_path / "made")
    sent(first, {**texts(tmp_path / "made"), MANIFEST: "m"})
    machine("b")
    before = contents(odd, "b/x")
    folder = copied(URL)
    assert {*texts(folder)} == {*before} - {MANIFEST}
    assert shown(folder) == "odd:///b/x"
    (folder / "picture.png").write_text("drawn here")
    taken = (folder / "study.json").stat().st_ino
    (first.folder / "s").mkdir(exist_ok=True)
    sent(first, {"summary.csv": "new"})
    assert texts(copied(URL)) == {**texts(folder), "summary.csv": "new", "picture.png": "drawn here"}
    assert (folder / "study.json").stat().st_ino == taken
    assert {**before, "summary.csv": b"new"} == contents(odd, "b/x")
    with pytest.raises(
        FolderError, match=r"^odd:///b/x: process .* writes there; watch it or stop it on that machine$"
    ):
        copied_here(URL)
    first.end()
    assert copied_here(URL) == folder
    trial = next(name for name in before if name.endswith("summary.json")).rpartition("/")[0]
    assert {*texts(copied_trial(f"{URL}/{trial}"))} == {"summary.json", "metrics.jsonl"}
    assert copied_trial(f"{URL}/{trial}/model.safetensors").name == "model.safetensors"


def test_paths_are_left_as_they_are(tmp_path):
    assert copied(tmp_path) == copied_here(tmp_path) == copied_trial(tmp_path) == tmp_path
    assert shown(tmp_path) == str(tmp_path)


def test_what_was_fetched_in_part_is_not_right(odd, machine):
    machine("a")
    first = begun()
    sent(first, STUDY)
    first.end()
    machine("b")
    got = odd.get_file

    def breaks(self, rpath, lpath=None, **more):
        if rpath.endswith("metrics.jsonl"):
            raise ConnectionError("reset")
        return got(self, rpath, lpath, **more)

    odd.get_file = breaks
    with pytest.raises(FolderError, match=r"^odd:///b/x: s/t/metrics.jsonl: reset$"):
        begun(resume=True)
    odd.get_file = got
    assert texts(begun(resume=True).folder) == STUDY
    assert json.loads((Copy(URL).home / "copy.json").read_text())["ours"]
