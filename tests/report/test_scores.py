"""Trials whose clients alone are judged, in what is told, shown and tabulated."""

from raysim.report.events import StudyStarted, TrialFinished, TrialInfo
from raysim.report.live.plain import round_figures, trial_figures
from raysim.report.reading.results import Results
from raysim.report.scores import central, over_clients
from raysim.report.tables.clients import client_tables
from raysim.report.tables.tables import scenario_table

INFO = TrialInfo("s", "seed=0", 0, {"arm": "own"}, 2, "best", "accuracy", ("accuracy",))
CENTRAL = TrialInfo("s", "other", 0, {"arm": "shared"}, 2, "best", "accuracy", ("accuracy",))


def spread(mean):
    return {"mean": mean, "weighted": mean, "std": 0.1, "worst_tenth": 0.2, "undefined": 0, "roles": {"a": mean}}


OWN = {
    "by_client": {"validation": {"accuracy": spread(0.75)}, "test": {"accuracy": spread(0.5)},
                  "test_personal": {"accuracy": spread(0.625)}},
}  # fmt: skip
SUMMARY = {"splits": {}, **OWN, "clients": {"judged": 4, "untrained": 3, "own": ["w"]}, "round": 2, "seconds_s": 4.1}


def test_figures_are_central_ones_or_means_over_clients():
    record = {"round": 1, "test": {"accuracy": 0.3}, **OWN}
    assert central(record) == {"test": {"accuracy": 0.3}}
    assert over_clients(record) == {"validation": {"accuracy": 0.75}, "test": {"accuracy": 0.5}}
    assert central({"loss": {}}) == over_clients({"loss": {}}) == {}


def test_a_round_and_a_trial_say_whose_figures_they_are():
    assert round_figures(INFO, {"loss": {"task": 1.5}, **OWN})[1] == "val accuracy 0.750 over clients"
    both = {"loss": {"task": 1.5}, "validation": {"accuracy": 0.25}, **OWN}
    assert round_figures(INFO, both)[1] == "val accuracy 0.250"
    assert trial_figures(INFO, SUMMARY) == "test accuracy 0.500 over clients at round 2, 4.1 s"


def results():
    found = Results()
    found.fold(StudyStarted((INFO, CENTRAL), "out", "machine"))
    found.fold(TrialFinished(INFO, SUMMARY))
    found.fold(TrialFinished(CENTRAL, {"splits": {"test": {"accuracy": 0.5}}, "round": 2}))
    return found


def test_the_table_of_results_says_who_is_not_in_it():
    table = scenario_table(results(), "s")
    assert [line[0] for line in table.lines] == ["shared"]
    assert table.caption == "test, one seed; 1 more are judged at their clients alone: see who is served"


def test_clients_before_and_after_they_fine_tuned():
    before, after = client_tables(results(), "s")
    assert (before.title, after.title) == (
        "s: who is served, accuracy", "s: who is served, accuracy, after each has fine-tuned"
    )  # fmt: skip
    assert before.caption == (
        "4 clients on rows of their own; 3 never trained the networks of their own by which they are judged, one seed"
    )
    assert (before.lines, after.lines) == (
        (("own", "0.500", "0.500", "0.100", "0.200"),), (("own", "0.625", "0.625", "0.100", "0.200"),)
    )  # fmt: skip
