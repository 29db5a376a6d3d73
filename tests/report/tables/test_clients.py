"""Tables of who is served, by client and by what samples are given."""

from dataclasses import replace

from raysim.report.events import StudyStarted, TrialFinished, TrialInfo
from raysim.report.reading.results import Results
from raysim.report.render.markdown import report
from raysim.report.tables.clients import client_tables
from raysim.report.tables.every import finer_tables
from raysim.report.tables.subsets import subset_tables

METRICS = ("accuracy", "loss")


def study(*trials, metrics=METRICS):
    """Results of (arm, seed, summary)."""
    infos = [TrialInfo("s", f"{a}{n}", n, {"arm": a}, 2, "last", metrics[0], metrics) for a, n, _ in trials]
    results = Results()
    results.fold(StudyStarted(tuple(infos), "out", "machine"))
    for info, (_, _, summary) in zip(infos, trials, strict=True):
        splits = {"splits": {"test": dict.fromkeys(metrics, 1.0)}}
        results.fold(TrialFinished(info, {**splits, **summary}))
    return results


def spread(mean, worst=0.25, std=0.125, undefined=0, roles=None):
    return {
        "mean": mean, "weighted": mean, "std": std, "worst_tenth": worst, "undefined": undefined,
        "roles": {"a": mean, "b": None} if roles is None else roles,
    }  # fmt: skip


def judged(accuracy, loss=None, clients=10):
    metrics = {"accuracy": accuracy, "loss": loss or spread(1.0)}
    return {"clients": {"judged": clients}, "by_client": {"validation": {}, "test": metrics}}


def given(**subsets):
    said = {
        k.replace("_", "+"): {"rows": n, "metrics": {"accuracy": v, "loss": 1 - v}} for k, (n, v) in subsets.items()
    }
    return {"subsets": said}


def test_a_line_an_arm_over_clients_and_by_role():
    results = study(
        ("x", 0, judged(spread(0.5))), ("x", 1, judged(spread(0.75))),
        ("y", 0, judged(spread(0.625, worst=0.5, std=0.25))), ("z", 0, {}),
    )  # fmt: skip
    over, by_role = client_tables(results, "s")
    assert over.title == "s: who is served, accuracy"
    assert over.caption == "10 clients on rows of their own, mean ± sample standard deviation over seeds"
    assert over.header == ("arm", "seeds", "mean", "by rows", "deviation", "worst tenth")
    assert over.lines == (
        ("x", "2", "0.625 ± 0.177", "0.625 ± 0.177", "0.125 ± 0.000", "0.250 ± 0.000"),
        ("y", "1", "0.625", "0.625", "0.250", "0.500"),
    )
    assert over.best == {(0, 2), (1, 2), (0, 3), (1, 3), (0, 4), (1, 5)}  # the smallest deviation
    assert by_role.header == ("arm", "seeds", "a", "b")
    assert by_role.lines == (("x", "2", "0.625 ± 0.177", "-"), ("y", "1", "0.625", "-"))


def test_clients_that_some_seeds_lack_have_the_mean_of_the_others_and_their_number():
    some, other = {"a": 0.5, "b": 0.25}, {"a": 0.75, "c": 1.0}
    results = study(*((arm, seed, judged(spread(0.5, roles=roles)))
                      for arm in "xy" for seed, roles in enumerate((some, other, other))))  # fmt: skip
    _, by_role = client_tables(results, "s")
    assert by_role.header == ("arm", "a", "b", "c")
    assert by_role.lines[0] == ("x", "0.667 ± 0.144", "0.250 (1 of 3)", "1.000 ± 0.000 (2 of 3)")
    assert by_role.caption == (
        "mean over 10 clients on rows of their own, mean ± sample standard deviation over 3 seeds; "
        "(1 of 2): in so many of the seeds there are such clients, with a figure"
    )


def test_a_bound_is_named_and_never_the_best_of_those_who_are_served():
    results = study(
        ("x", 0, judged(spread(0.5))), ("y", 0, judged(spread(0.25))),
        ("complete", 0, {**judged(spread(0.75)), "bound": True}),
    )  # fmt: skip
    for table in client_tables(results, "s"):
        assert [line[0] for line in table.lines] == ["x", "y", "complete (bound)"]
        assert (0, 1) in table.best
        assert {line for line, _ in (*table.best, *table.second)} <= {0, 1}


def test_arms_are_compared_under_equal_conditions_alone():
    trials = [
        (arm, 0, judged(spread(v))) for arm, v in (("x 0.3", 0.75), ("y 0.3", 0.5), ("x 0.7", 0.25), ("y 0.7", 0.375))
    ]
    results = study(*trials)
    results.trials = tuple(replace(t, conditions=t.grid["arm"][-3:]) for t in results.trials)
    over, _ = client_tables(results, "s")
    assert {line for line, column in over.best if column == 1} == {0, 3}
    assert over.word == "best under equal conditions"


def test_of_a_loss_less_is_better_and_who_is_left_out_is_said():
    few = [("x", 0, judged(spread(0.5), spread(1.0, worst=3.0, undefined=2), clients=9)),
           ("y", 0, judged(spread(0.5), spread(2.0, worst=2.0, undefined=1)))]  # fmt: skip
    over, _ = client_tables(study(*few), "s", "loss")
    assert over.caption == (
        "9 to 10 clients on rows of their own; undefined on 3 of them in all trials, who are left out, one seed"
    )
    assert {(i, over.header[j]) for i, j in over.best if j in (1, 4)} == {(0, "mean"), (1, "worst tenth")}


def test_one_role_needs_no_table_and_nobody_judged_none():
    assert len(client_tables(study(("x", 0, judged(spread(0.5, roles={"a": 0.5})))), "s")) == 1
    assert client_tables(study(("x", 0, {})), "s") == []
    assert subset_tables(study(("x", 0, {})), "s") == []


def test_a_line_an_arm_and_a_column_a_subset():
    first, second = given(a=(6, 0.5), b=(4, 0.25), a_b=(4, 0.75)), given(a=(6, 0.25), b=(4, 0.5), a_b=(4, 0.75))
    results = study(("x", 0, first), ("y", 0, second))
    (table,) = subset_tables(results, "s")
    assert table.title == "s: by modality, accuracy"
    assert table.caption == (
        "6 test samples given these modalities alone, or as many as have all of what is given (beside it), one seed"
    )
    assert table.header == ("arm", "a", "b (4)", "a+b (4)")
    assert table.lines == (("x", "0.500", "0.250", "0.750"), ("y", "0.250", "0.500", "0.750"))
    assert table.best == {(0, 1), (1, 2), (0, 3), (1, 3)}
    (losses,) = subset_tables(results, "s", "loss")
    assert losses.best == {(0, 1), (1, 2), (0, 3), (1, 3)}  # the smallest


def test_they_stand_on_the_page_after_the_results():
    results = study(("x", 0, judged(spread(0.5)) | given(a=(6, 0.5))))
    text = report(results, ())
    places = [
        text.index(words) for words in ("Test, one seed", "Who is served, accuracy; 10", "By modality, accuracy; 6")
    ]
    assert places == sorted(places)
    assert len(list(finer_tables(results, "s", "test", "loss"))) == 3
    assert list(finer_tables(results, "s", "test", "uar")) == []
