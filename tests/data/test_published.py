import json
import pickle
from pathlib import Path

import pytest
from dealing import dealt

from raysim.cli.app import main
from raysim.data.dataset import DataError
from raysim.data.published import as_csv

IDS = ["dia0_utt0", "dia0_utt1", "dia1_utt0", "dia2_utt0", "dia2_utt1", "dia3_utt0"]
PUBLISHED = {
    "0": [["dia2_utt0", "/x/waves/dia2_utt0.wav", 1, "Hi."], ["dia0_utt0", "/x/waves/dia0_utt0.wav", 0, "So, what?"]],
    "1": [["dia0_utt1", "/x/waves/dia0_utt1.wav", 0, ""]],
    "10": [["dia3_utt0", "/x/waves/dia3_utt0.wav", 0, ""]],
    "2": [["dia1_utt0", "/x/waves/dia1_utt0.wav", 3, ""]],
    "dev": [["dia9_utt0", "/x/waves/dia9_utt0.wav", 0, ""]],
    "test": [["dia0_utt0", "/x/test/dia0_utt0.wav", 0, ""]],
}
"""In the form of FedMultimodal's partition of MELD."""


@pytest.fixture
def written(tmp_path):
    def write(content, name="p.json"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


def test_lists_of_ids_become_rows_of_clients(written):
    assert as_csv(written(PUBLISHED), IDS) == "row,client\n0,0\n1,1\n2,2\n3,0\n5,10\n"
    assert as_csv(written({"a, b": [7, "x"], "c": ["y"]}), ["y", "7", "x"]) == 'row,client\n0,c\n1,"a, b"\n2,"a, b"\n'


def test_the_command_writes_what_a_scenario_reads(written, tmp_path, capfd):
    ids, out = tmp_path / "ids.txt", tmp_path / "split.csv"
    ids.write_text("\n".join(IDS) + "\n")
    assert main(["data", "partition", str(written(PUBLISHED)), "--ids", str(ids), "--out", str(out)]) == 0
    assert capfd.readouterr().out == f"{out}: 5 samples; 1 of the training samples are nobody's\n"
    data = dealt(partition={"name": "file", "path": str(out)})
    assert [data.part(c).tolist() for c in range(data.clients)] == [[0, 3], [1], [2], [5]]
    assert data.deal.ids.tolist() == ["0", "1", "2", "10"]
    assert main(["data", "partition", str(written(PUBLISHED)), "--ids", "none.txt", "--out", str(out)]) == 2
    assert capfd.readouterr().err == "raysim: none.txt cannot be read: No such file or directory\n"


class Harm:
    def __reduce__(self):
        return (Path("harm").touch, ())


@pytest.mark.parametrize("name", ["p.pkl", "p.json"])
def test_what_is_pickled_is_refused_and_stays_unread(written, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"is pickled, and reading it may run any code .* write it as JSON: \{"):
        as_csv(written(pickle.dumps({"0": Harm()}), name), IDS)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "ids", "line"),
    [
        (
            PUBLISHED,
            IDS[1:],
            "PATH: 1 samples are not among the 5 ids, first 'dia0_utt0' of client '0'; give the ids of",
        ),
        (PUBLISHED, [*IDS, IDS[2]], "the id 'dia1_utt0' stands for rows 2 and 6; ids must be unique"),
        ({"a": ["x"], "b": ["x"]}, ["x"], "PATH: 'x' belongs to the clients 'a' and 'b'; leave one"),
        ({"a": "x"}, ["x"], "PATH: client 'a' has 'x', no list; write {"),
        ({"a": []}, ["x"], "PATH: client 'a' has [], no list; write {"),
        ({"a": [0.5]}, ["x"], "PATH: client 'a' has the sample 0.5; write {"),
        ({"a": [[]]}, ["x"], "PATH: client 'a' has the sample []; write {"),
        ({"dev": ["x"]}, ["x"], "PATH lists no clients; write {"),
        (["x"], ["x"], "PATH lists no clients; write {"),
        (b"0,1\n", ["x"], "PATH is no JSON: Extra data"),
    ],
)
def test_what_does_not_fit_is_one_line(written, content, ids, line):
    path = written(content)
    with pytest.raises(DataError) as caught:
        as_csv(path, ids)
    assert str(caught.value).startswith(line.replace("PATH", str(path)))
    assert "\n" not in str(caught.value)
    assert caught.value.section == "partition"
