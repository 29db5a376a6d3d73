import pytest

from raysim.scenario.errors import ScenarioError
from raysim.scenario.identity import differences, digest, settings
from raysim.scenario.trial import dump, load

BASE = """name: t
dataset: polydigits
partition:
  name: file
  path: lists/split.csv
method: zero_fill
federation: {rounds: 2}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A scenario, its split, and a current folder that is another one."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "split.csv").write_text("row,client\n0,a\n1,b\n")
    (tmp_path / "s.yaml").write_text(BASE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def refused(*arguments):
    with pytest.raises(ScenarioError) as caught:
        load(*arguments)
    return str(caught.value)


def test_a_path_begins_where_it_is_written(folder):
    (folder / "elsewhere" / "own.csv").write_text("row,client\n0,a\n")
    for name in (folder / "s.yaml", "../s.yaml"):
        (trial,) = load(type(folder)(name))
        assert trial.scenario.partition.path == str(folder / "lists" / "split.csv")
    (trial,) = load(folder / "s.yaml", ["partition.path=own.csv"])
    assert trial.scenario.partition.path == str(folder / "elsewhere" / "own.csv")
    (folder / "s.yaml").write_text(BASE + "grid: {partition.path: [lists/split.csv, elsewhere/own.csv]}\n")
    assert [t.scenario.partition.path for t in load(folder / "s.yaml")] == [
        str(folder / "lists" / "split.csv"), str(folder / "elsewhere" / "own.csv"),
    ]  # fmt: skip


def test_what_a_file_holds_makes_the_trial_and_not_where_it_is(folder):
    (first,) = load(folder / "s.yaml")
    (folder / "moved.csv").write_bytes((folder / "lists" / "split.csv").read_bytes())
    (moved,) = load(folder / "s.yaml", [f"partition.path={folder / 'moved.csv'}"])
    assert digest(moved) == digest(first)
    (folder / "lists" / "split.csv").write_text("row,client\n0,a\n1,a\n")
    (changed,) = load(folder / "s.yaml")
    assert digest(changed) != digest(first)
    (line,) = differences([("t/a", settings(first))], [("t/a", settings(changed))])
    assert line.startswith("t/a: partition.digest was '")


def test_the_written_scenario_holds_the_digest_and_notices_a_change(folder):
    (trial,) = load(folder / "s.yaml")
    written = folder / "elsewhere" / "written.yaml"
    written.write_text(dump(trial.scenario))
    assert load(written)[0].scenario == trial.scenario
    (folder / "lists" / "split.csv").write_text("row,client\n0,a\n1,a\n")
    line = refused(written)
    assert line.startswith(f"{written}:")
    assert line.endswith(
        f"partition.digest: {folder / 'lists' / 'split.csv'} has changed since this was written; undo that, or remove "
        "the digest"
    )


def test_what_cannot_be_read_is_said_at_its_line(folder):
    (folder / "lists" / "split.csv").unlink()
    path = folder / "lists" / "split.csv"
    assert refused(folder / "s.yaml") == (
        f"{folder}/s.yaml:5: partition.path: {path} cannot be read: No such file or directory; relative paths begin at "
        f"{folder}"
    )
    path.mkdir()
    assert "cannot be read: Is a directory" in refused(folder / "s.yaml")
    line = refused(folder / "s.yaml", ["partition=none", "partition.path=x.txt", "partition.name=file"])
    assert line.endswith("partition.path: must be the path of a file in .npz, .csv or .csv.gz, is 'x.txt'")
    line = refused(folder / "s.yaml", ["partition=file"])
    assert line.endswith("partition.path: is required; write for example '{name: file, path: split.csv}'")


def test_masks_have_a_file_of_their_own(folder):
    (folder / "m.csv").write_text("row,m0,m1\n0,1,0\n1,0,1\n")
    (trial,) = load(folder / "s.yaml", [f"missing={{name: file, path: {folder / 'm.csv'}}}"])
    assert trial.scenario.missing.digest != trial.scenario.partition.digest
    assert "path" not in settings(trial)["missing"]


def test_a_grid_reads_each_file_once(folder, monkeypatch):
    from raysim.scenario import files

    read, original = [], files.sum_of_file
    monkeypatch.setattr(files, "sum_of_file", lambda path: read.append(path) or original(path))
    (folder / "s.yaml").write_text(BASE + "grid: {federation.rounds: [1, 2, 3]}\n")
    assert len(load(folder / "s.yaml")) == 3
    assert len(read) == 1
