from raysim.report.reading.slices import slices, subset


def test_words_stay_and_numbers_are_those_that_are_defined(tmp_path):
    path = tmp_path / "clients.csv"
    path.write_text('split,client,id,rows,accuracy,uar\ntest,0,"a,b",12,0.5,\ntest,1,7,3,nan,0.25\n')
    one, two = slices(path)
    assert one.words["id"] == "a,b"
    assert one.numbers == {"client": 0.0, "rows": 12.0, "accuracy": 0.5}
    assert two.numbers == {"client": 1.0, "id": 7.0, "rows": 3.0, "uar": 0.25}


def test_a_subset_is_read_from_its_names(tmp_path):
    path = tmp_path / "subsets.csv"
    path.write_text("given,rows,uar\nimage+text,4,0.5\ntext,4,0.25\n")
    assert [subset(line) for line in slices(path)] == [{"image", "text"}, {"text"}]
    assert slices(tmp_path / "none.csv") == []
