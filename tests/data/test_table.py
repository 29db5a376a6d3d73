import pytest

from raysim.data.dataset import DataError
from raysim.data.table import table

COLUMNS = {"name": None, "color": ("red", "blue")}


def test_a_csv_file(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfname,size,color\r\n"Ann, or\nAnna",3,red\r\n\r\nBob,,blue\r\n')
    assert table(tmp_path / "a.csv", COLUMNS, DataError) == [
        {"name": "Ann, or\nAnna", "size": "3", "color": "red"},
        {"name": "Bob", "size": "", "color": "blue"},
    ]


def test_a_tsv_file_without_quoting(tmp_path):
    (tmp_path / "a.tsv").write_text('name\tcolor\n"Ann" and "\tred\n"\tblue\n', encoding="utf-8")
    rows = table(tmp_path / "a.tsv", COLUMNS, DataError, delimiter="\t", quoted=False)
    assert [row["name"] for row in rows] == ['"Ann" and "', '"']


def test_bytes_that_are_not_utf_8_can_be_repaired(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"name,color\nAnn\x92s \xc3\xa9,red\n")
    assert table(tmp_path / "a.csv", COLUMNS, DataError, repair={0xDC92: "\u2019"})[0]["name"] == "Ann\u2019s é"
    with pytest.raises(DataError, match=r"^\S*a\.csv is not in UTF-8: byte 14 is 0x92$"):
        table(tmp_path / "a.csv", COLUMNS, DataError)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "a.csv has no column name, color"),
        ("name,colour\n", "a.csv has no column color"),
        ("name,color\n", "a.csv has no rows"),
        ("name,color\nAnn,red\nBob\n", "a.csv:3: no color"),
        ("name,color\nAnn,red,3\n", "a.csv:2: more fields than columns"),
        ("name,color\nAnn,green\n", "a.csv:2: color is 'green', not one of: red, blue"),
        ('name,color\n"Ann,red\n', "a.csv:2: unexpected end of data"),
        (f"name,color\n{'n' * 140_000},red\n", "a.csv:2: field larger than field limit (131072)"),
    ],
)
def test_what_is_malformed(tmp_path, content, message):
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        table(tmp_path / "a.csv", COLUMNS, DataError)
    assert str(caught.value) == f"{tmp_path}/{message}"


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(DataError) as caught:
        table(tmp_path, COLUMNS, DataError)
    assert str(caught.value) == f"{tmp_path} cannot be read: Is a directory"
