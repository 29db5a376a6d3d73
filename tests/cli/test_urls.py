"""Studies go to URLs; what else is written does not, and nothing goes beside it."""

import sys
from pathlib import Path

import pytest
from studies import small_study

import raysim
from raysim.cli.app import main

LINE = "a URL is not written to; name a path of this machine, and copy what comes of it"


@pytest.mark.parametrize(
    "words",
    [
        ["report", ".", "--out"],
        ["report", ".", "--figures"],
        ["predict", ".", "test", "--out"],
        ["new", "--dataset", "polydigits", "--method", "zero_fill", "--out"],
        ["schema", "--out"],
        ["data", "partition", "a.json", "--ids", "b.txt", "--out"],
        ["data", "prepare", "cmu_mosi", "--root", ".", "--cache"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("url", ["s3://bucket/x.csv", "gs://bucket/x.csv", "file:///tmp/x.csv"])
def test_what_writes_refuses_urls(words, url, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main([*words, url]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert f"{url}: {LINE}" in line
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def no_s3(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)


NEEDS = "s3://bucket/x: a package for s3:// is not installed (Install s3fs to access S3); pip install 'raysim[s3]'"


@pytest.mark.parametrize(
    "words",
    [["run", "quickstart", "--out"], ["report"], ["watch"], ["stop"], ["run", "quickstart", "--resume", "--out"]],
)
def test_a_package_that_is_missing_is_said_before_anything_starts(words, no_s3, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main([*words, "s3://bucket/x"]) == 2
    assert capfd.readouterr().err == f"{NEEDS}\n"
    assert list(tmp_path.iterdir()) == []


def test_python_says_so_too(no_s3, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls = [lambda: raysim.run("quickstart", out="s3://bucket/x"), lambda: raysim.open("s3://bucket/x")]
    for call in calls:
        with pytest.raises(raysim.FolderError, match=r"^s3://bucket/x: a package for s3:// is not installed"):
            call()
    with pytest.raises(raysim.ModelError, match=r"^s3://bucket/x: a package for s3:// is not installed"):
        raysim.load("s3://bucket/x")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The URL of a folder beside the current one."""
    monkeypatch.setenv("RAYSIM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return f"file://{tmp_path}/the store"


def test_a_url_that_has_nothing_is_a_line(store, capfd):
    for words, line in {
        ("run", "quickstart", "--resume", "--out"): "there is no study to go on with; leave --resume out to begin one",
        ("report",): "holds no study; name a folder that `raysim run` wrote",
        ("watch",): "holds no study; name a folder that `raysim run` wrote",
        ("stop",): "holds no study; name a folder that `raysim run` wrote",
    }.items():
        assert main([*words, store]) == 2
        assert capfd.readouterr().err == f"{store}: {line}\n"
    assert not Path(store.removeprefix("file://")).exists()
    assert list(Path().iterdir()) == []


def test_what_reads_a_study_reads_it_at_its_url(store, capfd):
    folder = small_study(Path(store.removeprefix("file://")), planned=1)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert main(["report", store]) == 0
    assert capfd.readouterr().out.startswith(f"3 of 4 trials finished; {store}\n")
    assert main(["stop", store]) == 0
    assert capfd.readouterr().out == (
        f"{store}: no process works on it; stopped after 3 of 4 trials; "
        f"go on: raysim run ... --out '{store}' --resume\n"
    )
    assert main(["watch", store, "--progress", "plain"]) == 0
    assert store in capfd.readouterr().out
    study = raysim.open(store)
    assert [t.state for t in study.trials] == ["finished"] * 3 + ["unfinished"]
    assert len(study.rows()) == 18
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert list(Path().iterdir()) == []


def test_a_store_that_takes_nothing_is_a_line_before_anything_starts(store, capfd):
    Path(store.removeprefix("file://")).write_text("a file")
    assert main(["run", "quickstart", "--out", store]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith(f"{store}: Not a directory")


def test_a_cache_that_is_a_url_is_refused(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYSIM_CACHE", "s3://bucket/cache")
    assert main(["data", "check", "cmu_mosi"]) == 2
    assert capfd.readouterr().err.startswith(f"raysim: RAYSIM_CACHE: s3://bucket/cache: {LINE}")
    assert list(tmp_path.iterdir()) == []


def test_a_path_with_a_colon_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["schema", "--out", "a:b.json"]) == 0
    assert Path("a:b.json").is_file()
