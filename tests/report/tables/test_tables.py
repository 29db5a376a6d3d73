import json
from dataclasses import replace

import pytest
from studies import grid_study, summary, write_study

from raysim.report.reading.folders import read
from raysim.report.reading.results import Results, Row
from raysim.report.tables.by_class import class_table
from raysim.report.tables.costs import cost_table
from raysim.report.tables.tables import Key, aggregate, aligned, fitted, result_tables, scenario_table, tables


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


@pytest.mark.parametrize("several", [False, True])
def test_the_best_loss_is_the_lowest(tmp_path, several):
    trials = [(m, rate, loss) for m, loss in (("zero", 3.0), ("fin", 2.0)) for rate in (0.2, 0.5)[: 1 + several]]
    summaries = [
        summary(m, 1, 0.0, **{"missing.rate": str(rate)} if several else {}) | {"splits": {"test": {"loss": loss}}}
        for m, rate, loss in trials
    ]
    (table,) = result_tables(read([write_study(tmp_path / "out", summaries)]).results, "study", ["test"])
    assert [line[0] for line in table.lines] == ["zero", "fin"]
    assert {line for line, _ in table.best} == {1}


def test_of_some_metrics_the_lowest_is_the_best(study):
    results = folded(study.events)
    high = scenario_table(results, "study", ["test"], "accuracy").best
    results.trials = tuple(replace(t, low=("loss", "accuracy")) for t in results.trials)
    low = scenario_table(results, "study", ["test"], "accuracy").best
    assert {line for line, _ in high} == {1}
    assert {line for line, _ in low} == {0}


def test_trials_without_a_task_model_have_their_own_columns(study):
    results = folded(study.events)
    own = {"metric": "loss", "metrics": ("loss",)}
    results.trials = tuple(replace(t, **own) if t.grid["method"] == "fin" else t for t in results.trials)
    results.summaries = [
        (replace(t, **own), {**s, "splits": {"test": {"loss": 9.0}}}) if t.grid["method"] == "fin" else (t, s)
        for t, s in results.summaries
    ]
    (table,) = tables(results, ["test"])
    assert table.header == ("method", "seeds", "accuracy", "uar", "loss")
    assert table.lines == (
        ("zero", "2", "0.625 ± 0.177", "0.525 ± 0.177", "n/a"), ("fin", "1", "n/a", "n/a", "9.000"),
    )  # fmt: skip
    assert [line[0] for line in scenario_table(results, "study", ["test"], "accuracy").lines] == ["zero"]


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


def test_two_keys_of_which_one_is_numbers_make_a_matrix(tmp_path):
    results = read([grid_study(tmp_path / "out")]).results
    masked, unmasked = result_tables(results, "study", ("test", "test_unmasked"))
    assert (masked.title, masked.caption) == (
        "study: test accuracy, by missing.rate", "mean ± sample standard deviation over 2 seeds",
    )  # fmt: skip
    assert aligned(masked) == [
        "method           0.25             0.5",
        "zero    0.688 ± 0.088*  0.438 ± 0.088",
        "fin     0.562 ± 0.088   0.688 ± 0.088*",
    ]
    assert unmasked.title == "study: test unmasked accuracy, by missing.rate"
    (uar,) = result_tables(results, "study", ("test",), "uar")
    assert uar.lines[0] == ("zero", "0.344 ± 0.044", "0.219 ± 0.044")
    assert result_tables(results, "study", ("validation",)) == []


def test_a_matrix_says_how_many_seeds_a_figure_has_where_they_differ(tmp_path):
    trials = [("zero", 1, "0.5"), ("zero", 2, "0.5"), ("fin", 1, "0.5"), ("zero", 1, "1e-1")]
    found = [summary(method, seed, 0.5 + seed / 8, **{"missing.rate": rate}) for method, seed, rate in trials]
    (table,) = result_tables(read([write_study(tmp_path / "out", found)]).results, "study", ("test",))
    assert table.caption == "mean ± sample standard deviation (number of seeds)"
    assert table.header == ("method", "1e-1", "0.5")
    assert table.lines == (("zero", "0.625 (1)", "0.688 ± 0.088 (2)"), ("fin", "-", "0.625 (1)"))
    assert table.best == {(0, 2)}


def test_a_matrix_for_each_choice_of_a_third_key(tmp_path):
    found = [
        summary(method, 1, value, **{"alpha": alpha, "missing.rate": rate})
        for (alpha, method, rate), value in {
            ("0.1", "zero", "0.5"): 0.25, ("0.1", "zero", "0.1"): 0.5, ("0.1", "fin", "0.5"): 0.375,
            ("5.0", "zero", "0.5"): 0.75, ("5.0", "fin", "0.5"): 1.0,
        }.items()
    ]  # fmt: skip
    first, second = result_tables(read([write_study(tmp_path / "out", found)]).results, "study", ("test",))
    assert first.title == "study: test accuracy, alpha 0.1, by missing.rate"
    assert (first.header, first.lines) == (
        ("method", "0.1", "0.5"),
        (("zero", "0.500", "0.250"), ("fin", "-", "0.375")),
    )
    assert second.lines == (("zero", "0.750"), ("fin", "1.000"))


def test_columns_may_be_texts_in_the_order_of_the_grid(tmp_path):
    found = [summary(method, 1, 0.5, roles=roles) for method in ("zero", "fin") for roles in ("8:0:2", "4:0:6")]
    (table,) = result_tables(read([write_study(tmp_path / "out", found)]).results, "study", ("test",))
    assert (table.title, table.header) == ("study: test accuracy, by roles", ("method", "8:0:2", "4:0:6"))


@pytest.mark.parametrize("more", [{}, {"a": "x"}, {"a": "1", "b": "2"}], ids=["one key", "a second", "three keys"])
def test_any_grid_of_which_one_key_varies_has_a_line_a_point(tmp_path, more):
    found = [summary(method, 1, 0.5, **more) for method in ("zero", "fin")]
    (table,) = result_tables(read([write_study(tmp_path / "out", found)]).results, "study", ("test",), "uar")
    assert table.header == (*more, "method", "uar")
    assert table.lines == tuple((*more.values(), method, "0.250") for method in ("zero", "fin"))


def test_what_is_too_wide_is_cut_into_parts_with_the_labels(study):
    (table,) = tables(folded(study.events), ["test"])
    assert fitted(table, 36) == [
        "method  seeds       accuracy",
        "zero        2  0.625 ± 0.177",
        "fin         1          0.875*",
        "",
        "method            uar",
        "zero    0.525 ± 0.177",
        "fin             0.775*",
    ]
    assert max(map(len, aligned(table))) == 45
    assert fitted(table, 45) == aligned(table)
    assert len(fitted(table, 44)) > len(aligned(table))


def test_a_bound_is_marked_and_never_the_best(tmp_path):
    bound = {"bound": True}
    several = [summary("complete", 1, 0.75) | bound, summary("zero", 1, 0.25), summary("fin", 1, 0.5)]
    (table,) = result_tables(read([write_study(tmp_path / "a", several)]).results, "study", ["test"], "accuracy")
    assert [line[0] for line in table.lines] == ["complete (bound)", "zero", "fin"]
    assert table.best == {(2, 1)}
    rates = [summary(m, 1, v + r, **{"missing.rate": str(r)}) | (bound if m == "complete" else {})
             for m, v in (("complete", 0.75), ("zero", 0.25), ("fin", 0.125)) for r in (0.0, 0.1)]  # fmt: skip
    (table,) = result_tables(read([write_study(tmp_path / "b", rates)]).results, "study", ["test"])
    assert [line[0] for line in table.lines] == ["complete (bound)", "zero", "fin"]
    assert table.best == {(1, 1), (1, 2)}
    two = [summary("complete", 1, 0.75) | bound, summary("zero", 1, 0.25)]
    (table,) = result_tables(read([write_study(tmp_path / "c", two)]).results, "study", ["test"], "accuracy")
    assert table.best == set()  # nothing is compared


def test_lines_of_other_conditions_do_not_compete(tmp_path):
    values = {("zero", 0.2): 0.5, ("fin", 0.2): 0.75, ("gan", 0.2): 0.625, ("zero", 0.8): 0.375, ("fin", 0.8): 0.25}
    trials = [summary(m, 1, v) | {"grid": {"arm": f"{m} {rate}"}} for (m, rate), v in values.items()]
    out = write_study(tmp_path / "a", [*trials, summary("top", 1, 1.0) | {"grid": {"arm": "top"}, "bound": True}])
    written = json.loads((out / "study.json").read_text())
    for name, settings in written["trials"].items():
        rate = {"missing": {"rate": name.partition(",")[0][-3:]}}
        written["trials"][name] = {**settings, **rate}
    (out / "study.json").write_text(json.dumps(written))
    (table,) = result_tables(read([out]).results, "study", ["test"], "accuracy")
    assert (table.best, table.second) == ({(1, 1), (3, 1)}, {(2, 1)})
    assert table.word == "best under equal conditions"


def test_lines_are_arms_and_columns_conditions_whatever_stands_first(tmp_path):
    found = [summary("zero", 1, r * lr) | {"grid": {"missing.rate": str(r), "lr": str(lr)}}
             for r in (0.2, 0.8) for lr in (0.5, 1.0)]  # fmt: skip
    (table,) = result_tables(read([write_study(tmp_path, found)]).results, "study", ["test"])
    assert (table.header, [line[0] for line in table.lines]) == (("lr", "0.2", "0.8"), ["0.5", "1.0"])
    assert table.best == {(1, 1), (1, 2)}


def test_a_figure_by_class_has_its_best_among_contestants_alone(tmp_path):
    recalls = {"zero": (0.5, 0.25), "fin": (0.25, 0.75), "top": (1.0, 1.0)}
    found = []
    for method, (a, b) in recalls.items():
        one = summary(method, 1, 0.5) | ({"bound": True} if method == "top" else {})
        one["splits"]["test"] |= {"recall": 0.5, "recall.a": a, "recall.b": b}
        found.append(one)
    results = read([write_study(tmp_path, found)]).results
    results.trials = tuple(replace(t, metrics=("accuracy", "recall")) for t in results.trials)
    results.summaries = [(replace(t, metrics=("accuracy", "recall")), s) for t, s in results.summaries]
    table = class_table(results, "study")
    assert [line[:2] for line in table.lines][-1] == ("top (bound)", "b")
    assert {table.lines[i][:2] for i, _ in table.best} == {("zero", "a"), ("fin", "b")}
    assert table.word == "best of each class"


def test_of_one_method_at_several_rates_none_is_the_best(tmp_path):
    found = [summary("zero", 1, r) | {"grid": {"missing.rate": str(r)}} for r in (0.2, 0.5, 0.8)]
    (table,) = result_tables(read([write_study(tmp_path, found)]).results, "study", ["test"])
    assert (table.best, table.second) == (set(), set())


def test_without_a_grid_a_line_has_the_scenario_s_name(tmp_path):
    results = read([write_study(tmp_path, [summary("zero", 1, 0.25) | {"grid": {}}])]).results
    (table,) = result_tables(results, "study", ["test"], "accuracy")
    assert (table.header, table.lines, table.labels) == (("scenario", "accuracy"), (("study", "0.250"),), 1)
    assert cost_table(results, "study").lines[0][:2] == ("study", "1,000")
