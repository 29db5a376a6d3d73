"""A study from another one's files: the same partition, the same missing modalities, the same bits."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from processes import records

from raysim.cli.app import main

MATERIAL = Path(__file__).parent / "engine" / "material"


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ray_material.py", "small.yaml"):
        shutil.copy(MATERIAL / name, tmp_path)
    return tmp_path / "small.yaml"


@pytest.mark.ray
@pytest.mark.slow
def test_a_study_from_the_files_of_another_one_gives_its_bits(marked):
    for name in ("ray_material.py", "small.yaml"):
        shutil.copy(MATERIAL / name, marked.folder)
    first, again = marked.folder / "first", marked.folder / "again"
    run = ("run", "small.yaml", "--progress", "none", "--set", "seeds=[3]")
    assert marked.run(*run, "--out", first)[0] == 0
    shutil.copy(first / "small" / "seed=3" / "partition.npz", marked.folder / "kept.npz")
    files = ("--set", "partition={name: file, path: kept.npz}", "--set", "missing={name: file, path: kept.npz}")
    status, _, err = marked.run(*run, *files, "--out", again)
    assert (status, err) == (0, "")
    assert records(again / "small" / "seed=3") == records(first / "small" / "seed=3")
    assert len(records(again / "small" / "seed=3")) == 3
    copies = [(out / "small" / "seed=3" / "partition.npz").read_bytes() for out in (first, again)]
    assert copies[0] == copies[1]

    with np.load(marked.folder / "kept.npz") as kept:
        arrays = dict(kept)
    arrays["client"][0] = 5
    np.savez(marked.folder / "kept.npz", **arrays)
    status, _, err = marked.run(*run, *files, "--out", again, "--resume")
    assert status == 2
    assert err.startswith(f"{again}: its study is another one: small/seed=3: partition.digest was '")


@pytest.mark.parametrize(
    ("content", "settings", "line"),
    [
        ("row,client\n0,a\n0,b\n", (), "partition: {path}:3: column 'row' has 0 twice; list each sample once"),
        (
            "row,client\n0,a\n1,b\n",
            ("federation.clients_per_round=3",),
            "federation.clients_per_round: is 3, but there are 2 clients; write 2 or less",
        ),
        (
            "row,client\n0,a\n1,b\n",
            ("federation.clients_per_round=2", "missing={name: roles, roles: [{modalities: [image], clients: 3}]}",
             "evaluation.missing=none"),
            "missing.roles: add up to 3 clients, but the partition has 2; make them agree",
        ),
    ],
)  # fmt: skip
def test_validate_reads_the_files_but_no_data(small, capfd, content, settings, line):
    path = small.parent / "split.csv"
    path.write_text(content)
    words = ("partition={name: file, path: split.csv}", *settings)
    arguments = [word for setting in words for word in ("--set", setting)]
    assert main(["validate", str(small), *arguments]) == 2
    (found,) = capfd.readouterr().err.splitlines()
    assert found.endswith(line.format(path=path))


def test_validate_passes_what_is_right(small, capfd):
    (small.parent / "split.csv").write_text("row,client\n0,a\n1,b\n")
    words = ("--set", "partition={name: file, path: split.csv}", "--set", "federation.clients_per_round=2")
    assert main(["validate", str(small), *words]) == 0
    assert "ok, 1 trial" in capfd.readouterr().out
