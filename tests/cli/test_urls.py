"""Nothing is written to a URL, and nothing beside it."""

from pathlib import Path

import pytest

import raysim
from raysim.cli.app import main

LINE = "a URL is not written to; name a path of this machine, and copy what comes of it"


@pytest.mark.parametrize(
    "words",
    [
        ["run", "quickstart", "--out"],
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


def test_python_refuses_them_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(raysim.FolderError, match="a URL is not written to"):
        raysim.run("quickstart", out="s3://bucket/x", progress="none")
    assert list(tmp_path.iterdir()) == []


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
