import pytest

from raysim.report.events import StudyStarted, TrialFinished, TrialInfo
from raysim.report.reading.results import Results
from raysim.report.render.markdown import report
from raysim.report.tables.fills import effective_rates, figures, untaught
from raysim.report.tables.tables import aligned, figures_table, result_tables, scenario_table


def study(*trials):
    """Results of (grid, seed, summary) with an accuracy of 0.5."""
    infos = [TrialInfo("s", f"{g}{n}", n, g, 2, "best", "accuracy", ("accuracy",)) for g, n, _ in trials]
    results = Results()
    results.fold(StudyStarted(tuple(infos), "out", "machine"))
    for info, (_, _, summary) in zip(infos, trials, strict=True):
        results.fold(TrialFinished(info, {"splits": {"test": {"accuracy": 0.5}}, **summary}))
    return results


def hidden(training, test):
    return {"hidden": {"training": training, "validation": 0.0, "test": test}}


def test_effective_rates_are_means_over_seeds_and_stand_beside_the_asked_ones():
    results = study(
        *(({"missing.rate": rate, "method": m}, seed, hidden(t, t / 2))
          for m in ("a", "b") for rate, several in (("0.7", (0.4, 0.5)), ("0", (0.0, 0.0)))
          for seed, t in enumerate(several))
    )  # fmt: skip
    assert effective_rates(results, "s")[("missing.rate", "0.7"), ("method", "a")] == "0.450/0.225"
    (table,) = result_tables(results, "s", ["test"])
    assert table.header == ("method", "0 (0.000/0.000)", "0.7 (0.450/0.225)")
    assert table.caption.endswith("; missing: in effect, of what the data has, in training/at test")


def test_what_the_data_itself_lacks_stands_beside_and_a_bound_has_no_rate():
    lacking = {"lacking": {"training": 0.125, "validation": 0.0, "test": 0.25}}
    trials = (
        ({"arm": "x"}, 0, hidden(0.25, 0.5) | lacking),
        ({"arm": "y"}, 0, hidden(0.25, 0.5) | lacking | {"bound": True}),
    )
    table = scenario_table(study(*trials), "s")
    assert [line[:2] for line in table.lines] == [("x", "0.250/0.500"), ("y (bound)", "-")]
    assert table.caption.endswith(
        "; missing: in effect, of what the data has, in training/at test; the data itself lacks 0.125 and 0.250 of all"
    )


def test_a_table_of_arms_has_a_column_of_them():
    table = scenario_table(study(({"arm": "x"}, 0, hidden(0.25, 0.5)), ({"arm": "y"}, 0, hidden(0.0, 0.0))), "s")
    assert table.header == ("arm", "missing", "accuracy")
    assert [line[1] for line in table.lines] == ["0.250/0.500", "0.000/0.000"]
    assert aligned(table)[0].split() == ["arm", "missing", "accuracy"]


@pytest.mark.parametrize("summary", [{}, hidden(0.0, 0.0)])
def test_where_nothing_is_hidden_tables_say_nothing_of_it(summary):
    assert scenario_table(study(({"arm": "x"}, 0, summary)), "s").header == ("arm", "accuracy")


def test_networks_that_nobody_could_train_are_named():
    teachers = [{"teachers": {"fin.a_b": n, "fin.b_a": 3}} for n in (0, 1, 0)]
    results = study(*(({"arm": "x"}, seed, t) for seed, t in enumerate(teachers)), ({"arm": "y"}, 0, teachers[1]))
    assert untaught(results, "s") == ["arm=x: fin.a_b (2 of 3 seeds)"]
    text = report(results, [])
    assert "No client had samples that teach these networks, so they filled nothing in:\n\n- arm=x: fin.a_b" in text


def test_the_methods_own_figures_are_means_over_the_seeds_that_have_them():
    said = [{"examined": {"a": {"error": 0.5}, "a>b": {"error": 0.9, "held back": h}}} for h in (0.6, 0.8)]
    results = study(*(({"arm": "x"}, seed, s) for seed, s in enumerate(said)), ({"arm": "x"}, 2, {}))
    assert figures(results, "s")[(("arm", "x"),), "a>b"] == pytest.approx({"error": 0.9, "held back": 0.7})
    table = figures_table(results, "s")
    assert table.header == ("arm", "what", "error", "held back")
    assert table.lines == (("x", "a", "0.500", "-"), ("x", "a>b", "0.900", "0.700"))
    assert "What is made up, on validation samples; shares of the variance, means over seeds:" in report(results, [])
    legend = "\n\nError: of what is decoded; held back: the error on pairs that clients held back.\n"
    assert legend in report(results, [])
    assert figures_table(study(({}, 0, {})), "s") is None
