import pytest

from raysim.report.text import bar, duration, encodable, number, size, sparkline


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([], 5, ""),
        ([1.0], 5, "▄"),
        ([0.0, 1.0], 5, "▁█"),
        ([0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█"),
        ([0, 0, 4, 4, 8, 8], 3, "▁▅█"),
        ([1.0, float("nan"), 3.0], 3, "▁█"),
        ([1.0, 2.0], 0, ""),
    ],
)
def test_sparklines(values, width, line):
    assert sparkline(values, width) == line


def test_numbers_durations_and_sizes():
    assert [number(v) for v in (0.12345, None, float("nan"), float("inf"))] == ["0.123", "n/a", "n/a", "n/a"]
    assert [number(v) for v in (-1e-13, -0.0006)] == ["0.000", "-0.001"]
    assert [duration(s) for s in (-1, 3.21, 59.9, 60, 245, 7620)] == [
        "0.0 s", "3.2 s", "59.9 s", "1 min 00 s", "4 min 05 s", "2 h 07 min",
    ]  # fmt: skip
    assert [size(n) for n in (0, 999, 35_600, 2.1e9, 3e12)] == ["0 B", "999 B", "35.6 kB", "2.1 GB", "3.0 TB"]
    assert [bar(f, 4) for f in (-1, 0, 0.5, 1, 2)] == ["░░░░", "░░░░", "██░░", "████", "████"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_text_fits_any_encoding_at_the_same_width(encoding):
    text = "██░░ ▁▄█ 0.5 ± 0.1 Zürich …"
    shown = encodable(text, encoding)
    shown.encode(encoding)
    assert len(shown) == len(text)
    assert (shown == text) == (encoding == "utf-8")
