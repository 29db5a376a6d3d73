import io
from pathlib import Path

import numpy as np
import pytest
from dealing import dealt

from raysim.data.dataset import DataError
from raysim.data.record import table
from raysim.data.stored import check_stored
from raysim.disk import sum_of_file
from raysim.report.files import packed
from raysim.scenario.schema import Scenario

HALF = {"name": "per_sample", "rate": 0.5}


@pytest.fixture
def written(tmp_path):
    """A file of arrays or of text."""

    def write(content, name=None):
        path = tmp_path / (name or ("a.csv" if isinstance(content, str) else "a.npz"))
        path.write_bytes(content.encode() if isinstance(content, str) else packed(content))
        return {"name": "file", "path": str(path), "digest": sum_of_file(path).blake2b}

    return write


def alike(a, b):
    """Whether two federations are the same to the bit."""
    one, other = a.parts(), b.parts()
    assert list(one["views"]) == list(other["views"])
    for name, view in one["views"].items():
        assert np.array_equal(view.mask, other["views"][name].mask)
        assert np.array_equal(view.scored, other["views"][name].scored)
    for key in ("mask", "rows", "offsets", "noisy"):
        assert np.array_equal(one[key], other[key]), key
    assert (one["public"], one["hidden"]) == (other["public"], other["hidden"])
    return True


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"partition": {"name": "dirichlet", "clients": 5, "alpha": 0.5}, "missing": HALF},
        {"missing": {"name": "per_client", "rate": 0.6, "empty": "drop"}, "evaluation": {"missing": "same"}},
        {"missing": HALF, "evaluation": {"missing": "same"}},
        {"missing": HALF | {"empty": "drop"}, "evaluation": {"missing": "same"}, "labels": {"noise": 0.3}},
        {
            "missing": HALF,
            "evaluation": {"missing": "same", "empty": "predict"},
            "public": 7,
            "labels": {"missing": 0.3},
        },
        {"missing": HALF | {"empty": "drop"}, "evaluation": {"missing": 0.4, "empty": "drop"}, "public": 0.2},
    ],
)
def test_what_was_written_is_dealt_again_to_the_bit(written, sections):
    first = dealt(n=60, **sections)
    file = written(table(first))
    again = dealt(n=60, **{**sections, "partition": file, "missing": file})
    assert alike(first, again)
    assert packed(table(again)) == packed(table(first))
    # The masks alone, on the same partition; and the partition alone, since draws are by row.
    assert alike(first, dealt(n=60, **{**sections, "missing": file}))
    assert alike(first, dealt(n=60, **{**sections, "partition": file}))


def test_the_file_is_what_the_scenario_left_whatever_the_method_makes_of_it(written):
    file = written(table(dealt(lambda mask, present: mask & [True, False], n=60, missing=HALF)))
    assert alike(dealt(n=60, missing=HALF), dealt(n=60, partition=file, missing=file))


def test_a_csv_of_one_table_says_both(written):
    both = written("row,client,a,b,note\n4,x,1,0,\n0,y,0,1,long\n2,y,1,1,\n1,x,1,1,\n3,x,0,0,\n")
    data = dealt(partition=both, missing=both)
    assert [data.part(c).tolist() for c in range(2)] == [[1, 4], [0, 2]]  # 3 has nothing left, and 5 is nobody's
    assert data.mask[[0, 1, 2, 4]].tolist() == [[False, True], [True, True], [True, True], [True, False]]
    assert table(data)["ids"].tolist() == ["x", "y"]
    assert table(data)["trained"].tolist() == [True, False, True, True, True]


def test_the_data_s_own_gaps_stay(written):
    file = written("row,a,b\n" + "".join(f"{i},1,1\n" for i in range(6)))
    assert dealt(missing=file).mask[5].tolist() == [True, False]


@pytest.mark.parametrize(
    ("called", "parts", "ids"),
    [
        (["10", "9", "10"], [[1], [0, 2]], ["9", "10"]),
        (["1", "0", "1"], [[1], [0, 2]], None),
        (["10", "9", "b"], [[0], [1], [2]], ["10", "9", "b"]),
        (["007", "7", "7"], [[0], [1, 2]], ["007", "7"]),
    ],
)
def test_clients_come_in_the_order_of_what_they_are_called(written, called, parts, ids):
    lines = "".join(f"{i},{name}\n" for i, name in enumerate(called))
    for file in (
        written(f"row,client\n{lines}"),
        written({"rows": np.arange(3), "client": np.array(called)}),
    ):
        data = dealt(partition=file)
        assert [data.part(c).tolist() for c in range(data.clients)] == parts
        found = table(data).get("ids")
        assert (None if found is None else found.tolist()) == ids


ROWS = np.arange(6)
FULL = {"rows": ROWS, "present.a": np.ones(6, bool), "present.b": np.ones(6, bool)}


def scenario(**sections):
    return Scenario.model_validate({
        "name": "t", "dataset": "none", "partition": "natural", "method": "zero_fill", "federation": {"rounds": 1},
        **sections,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("row,client\n0,x\n\n1,x\n1,y\n", "PATH:5: column 'row' has 1 twice; list each sample once"),
        ("row,client\n0,x\n-1,x\n", "PATH:3: column 'row' is '-1'; write whole numbers from 0"),
        ("row,client\n0,x\n1.0,x\n", "PATH:3: column 'row' is '1.0'; write whole numbers from 0"),
        ("row,client\n0,\n", "PATH:2: column 'client' is empty; name a client, or leave the row out"),
        ("row,client\n0\n", "PATH:2: no client; a CSV needs the columns row and client, and a line for each sample"),
        ("row;client\n0;x\n", "PATH has no column row, client; a CSV needs the columns row and client, and a line for"),
        ("row,client\n", "PATH has no rows; a CSV needs the columns"),
        ("", "PATH has no column row, client; a CSV needs"),
        ({}, "PATH holds no arrays; it needs rows and client"),
        ({"rows": ROWS}, "PATH: has no 'client'; there are: rows"),
        ({"rows": ROWS, "client": ROWS[:5]}, "PATH: 'client' has the shape (5,); write one for each of R rows"),
        ({"rows": ROWS[:0], "client": ROWS[:0]}, "PATH: 'rows' lists no sample; it needs some"),
        ({"rows": ROWS / 2, "client": ROWS}, "PATH: 'rows' is float64; write integers (R,)"),
        ({"rows": ROWS - 1, "client": ROWS}, "PATH: 'rows' has -1; samples count from 0 (at 0)"),
        (
            {"rows": ROWS.astype(np.uint64) + 2**63, "client": ROWS},
            "PATH: 'rows' has 9223372036854775808; samples count",
        ),
        ({"rows": ROWS // 2, "client": ROWS}, "PATH: 'rows' has 0 twice; list each sample once (at 1)"),
        ({"rows": ROWS, "client": ROWS / 2}, "PATH: 'client' is float64; write integers or text (R,)"),
        (
            {"rows": ROWS, "client": ROWS, "ids": np.array(["x"])},
            "PATH: 'ids' is <U1 of shape (1,), but 'client' has 6 from 0 to 5; write one text for each client, which",
        ),
    ],
)
def test_a_partition_that_is_none_is_one_line_before_any_data_is_read(written, content, line):
    file = written(content)
    with pytest.raises(DataError) as caught:
        check_stored(scenario(partition=file), None)
    assert str(caught.value).startswith(line.replace("PATH", file["path"]))
    assert "\n" not in str(caught.value)
    assert caught.value.section == "partition"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("row,a\n0,1\n", "PATH: has no column 'b', but the data has that modality; there are: a"),
        ("row,a,b\n0,1,0\n1,yes,0\n", "PATH:3: column 'a' is 'yes'; write 0 or 1"),
        ("row,a,b\n0,1\n", "PATH:2: column 'b' is ''; write 0 or 1"),
        ("a,b\n0,1\n", "PATH has no column row; a CSV needs a column row and one for each modality, and a line for"),
        (
            {"rows": ROWS, "present.a": ROWS > 0},
            "PATH: has no 'present.b', but the data has that modality; there are: a",
        ),
        (FULL | {"present.a": ROWS}, "PATH: 'present.a' is 2; write 0 or 1 (at 2)"),
        (
            FULL | {"present.a": ROWS[:4] > 0},
            "PATH: 'present.a' has the shape (4,); it must be (6,), one for each of 6",
        ),
        (
            FULL,
            "PATH: has no 'validation.a', which evaluation.missing: same asks for; give the partition.npz of a trial",
        ),
    ],
)
def test_masks_that_are_none_are_one_line_before_any_data_is_read(written, content, line):
    file = written(content)
    with pytest.raises(DataError) as caught:
        check_stored(scenario(missing=file, evaluation={"missing": "same"}), ("a", "b"))
    assert str(caught.value).startswith(line.replace("PATH", file["path"]))
    assert "\n" not in str(caught.value)
    assert caught.value.section == "missing"


EVALUATED = {f"{split}.{m}": np.ones(6, bool) for split in ("validation", "test") for m in "ab"}


@pytest.mark.parametrize(
    ("section", "content", "line"),
    [
        (
            "partition",
            "row,client\n0,x\n6,x\n",
            "PATH:3: column 'row' has 6, but the data has 6 training samples, numb",
        ),
        (
            "partition",
            {"rows": ROWS + 1, "client": ROWS},
            "PATH: 'rows' has 6, but the data has 6 training samples, num",
        ),
        (
            "partition",
            {"rows": ROWS, "client": ROWS, "samples": np.array(7)},
            "PATH: 'samples' is 7, but the data has 6 training samples; it belongs to other data",
        ),
        (
            "missing",
            "row,a,b\n0,1,1\n2,1,1\n",
            "PATH: says nothing of 4 samples that clients have, first of row 1; list",
        ),
        (
            "missing",
            FULL | EVALUATED | {"test.b": np.ones(5, bool)},
            "PATH: 'test.b' has the shape (5,); it must be (6,), one for each of 6 test samples",
        ),
    ],
)
def test_what_belongs_to_other_data_is_one_line(written, section, content, line):
    file = written(content)
    with pytest.raises(DataError) as caught:
        dealt(**{section: file}, evaluation={"missing": "same" if section == "missing" else "none"})
    assert str(caught.value).startswith(line.replace("PATH", file["path"]))
    assert caught.value.section == section


def test_nothing_is_ever_unpickled(tmp_path):
    class Harm:
        def __reduce__(self):
            return (Path.write_text, (tmp_path / "harm", "done"))

    path = tmp_path / "a.npz"
    np.savez(path, rows=np.arange(1), client=np.array([Harm()], dtype=object), allow_pickle=True)
    with pytest.raises(
        DataError, match=r"'client' is an array of Python objects of shape \(1,\); write text"
    ) as caught:
        check_stored(scenario(partition={"name": "file", "path": str(path)}), None)
    assert caught.value.section == "partition"
    path.write_bytes(io.BytesIO(b"\x80\x04\x95").getvalue())
    with pytest.raises(DataError, match=r"cannot be read: .*; write it with numpy\.savez"):
        check_stored(scenario(partition={"name": "file", "path": str(path), "digest": sum_of_file(path).blake2b}), None)
    assert not (tmp_path / "harm").exists()


def test_the_number_of_clients_is_known_before_the_data(written):
    assert check_stored(scenario(partition=written("row,client\n0,x\n3,y\n2,y\n")), None) == 2
    assert check_stored(scenario(), None) is None


def test_a_file_that_changes_under_a_study(written, tmp_path):
    file = written("row,client\n0,x\n")
    (tmp_path / "a.csv").write_text("row,client\n1,x\n")
    with pytest.raises(DataError, match=r"a\.csv has changed meanwhile; start again"):
        dealt(partition=file)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(DataError, match=r"a\.csv cannot be read: No such file or directory"):
        dealt(partition=file)
