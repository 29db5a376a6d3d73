from raysim.report.reading.courses import course

LINES = (
    '{"round": 1, "bytes_up": 1, "bytes_down": 2, "validation": {"uar": 0.25, "loss": 2.0}}\n'
    '{"round": 2, "bytes_up": 3, "bytes_down": 4}\n'
    '{"round": 3, "bytes_up": 5, "bytes_down": 6, "validation": {"uar": null, "loss": 1.0}}\n'
)


def test_scores_where_they_are_defined_and_bytes_added_up(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(LINES)
    found = course(path, ["uar", "loss", "f1"])
    assert found.scores == {"uar": {1: 0.25}, "loss": {1: 2.0, 3: 1.0}, "f1": {}}
    assert found.sent == {1: 3, 2: 10, 3: 21}


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(LINES[:-1])
    assert course(path, ["loss"]).scores == {"loss": {1: 2.0}}
    path.write_text(LINES + '{"round": 4, "valid')
    assert list(course(path, ["loss"]).sent) == [1, 2, 3]


def test_no_file_is_no_rounds(tmp_path):
    assert course(tmp_path / "metrics.jsonl", ["uar"]).scores == {"uar": {}}
