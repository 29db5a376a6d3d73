import pytest

from raysim.report.results import Results, Row
from raysim.report.tables import Key, aggregate, aligned, scenario_table, tables


def folded(events):
    results = Results()
    for event in events:
        results.fold(event)
    return results


def test_mean_and_sample_deviation_over_seeds(study):
    zero1, zero2, fin1, _ = study.trials
    rows = [Row(zero1, "test", "uar", 0.5), Row(zero2, "test", "uar", 0.75), Row(fin1, "test", "uar", None)]
    cells = aggregate(rows)
    cell = cells[Key("study", (("method", "zero"),), "test", "uar")]
    assert (cell.mean, cell.std, cell.seeds) == (0.625, pytest.approx(0.1767767), 2)
    assert str(cell) == "0.625 ± 0.177"
    assert str(cells[Key("study", (("method", "fin"),), "test", "uar")]) == "n/a"
    assert str(aggregate(rows[:1]).popitem()[1]) == "0.500"


def test_a_table_has_a_line_a_grid_point_and_unmasked_figures_beside(study):
    table = scenario_table(folded(study.events), "study")
    assert table.header == ("method", "seeds", "accuracy", "accuracy (unmasked)", "uar", "uar (unmasked)")
    assert table.lines == (
        ("zero", "2", "0.625 ± 0.177", "0.825 ± 0.177", "0.525 ± 0.177", "0.725 ± 0.177"),
        ("fin", "1", "0.875", "1.075", "0.775", "0.975"),
    )
    assert table.best == {(1, 2), (1, 3), (1, 4), (1, 5)}


def test_plain_lines_are_aligned(study):
    (table,) = tables(folded(study.events), ["test"])
    assert aligned(table) == [
        "method  seeds       accuracy             uar",
        "zero        2  0.625 ± 0.177   0.525 ± 0.177",
        "fin         1          0.875*          0.775*",
    ]


def test_nothing_finished_is_no_table(study):
    assert tables(folded(study.begun[:3])) == []


def test_a_table_of_a_split_leaves_out_who_was_not_measured_on_it(study):
    results = folded(study.events)
    results.summaries = [
        (t, s if t.grid["method"] == "zero" else {**s, "splits": {"test": s["splits"]["test"]}})
        for t, s in results.summaries
    ]
    (table,) = tables(results, ["test_unmasked"])
    assert [line[0] for line in table.lines] == ["zero"]
    (both,) = tables(results)
    assert both.lines[1][3] == "n/a"
