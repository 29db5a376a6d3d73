from raysim.report.trackers.figures import of_round, parameters, reported


def test_a_scenario_as_parameters():
    scenario = {
        "name": "s", "description": "prose", "seeds": [1], "tracking": [{"name": "mlflow"}], "modalities": None,
        "method": {"name": "fin", "layers": 2}, "evaluation": {"metrics": ["accuracy", "uar"], "deep": {"er": 0.5}},
    }  # fmt: skip
    assert parameters(scenario, 1, {"method": "fin", "missing.rate": "0.1"}) == {
        "name": "s", "modalities": "null", "method.name": "fin", "method.layers": 2,
        "evaluation.metrics": '["accuracy", "uar"]', "evaluation.deep.er": 0.5, "seed": 1,
        "grid.method": "fin", "grid.missing.rate": "0.1",
    }  # fmt: skip


def test_a_line_of_metrics_as_figures():
    record = {
        "round": 3, "phase": "train", "cohort": [4, 5, 9], "loss": {"task": 0.5, "map": float("inf")},
        "clients": [{"id": 4, "samples": 3}], "skipped": [9], "bytes_up": 12, "train_s": 1.5,
        "test_unmasked": {"accuracy": 0.75, "uar": None, "loss": float("nan")},
        "generation": {"a+b>c": {"mse": 0.25}}, "examined": {"a": {"error": 2.0}},
    }  # fmt: skip
    assert of_round(record) == {
        "loss/task": 0.5, "test_unmasked/accuracy": 0.75, "generation/a+b>c/mse": 0.25, "examined/a/error": 2.0,
        "cost/bytes_up": 12.0, "cost/train_s": 1.5, "clients/cohort": 3.0, "clients/skipped": 1.0,
    }  # fmt: skip


def test_a_summary_as_figures():
    summary = {
        "status": "finished", "trial": "t", "seed": 5, "grid": {"method": "fin"}, "round": 2, "selected_by": "best",
        "splits": {"test": {"accuracy": 0.5}}, "parameters": 7, "bit_comparable": True, "teachers": {"fin": 0},
        "generation": {"round": 2, "figures": {"a>b": {"mse": 1.0}}}, "examined": {},
    }  # fmt: skip
    assert reported(summary) == {
        "reported/round": 2.0, "reported/test/accuracy": 0.5, "reported/cost/parameters": 7.0,
        "reported/teachers/fin": 0.0, "reported/generation/round": 2.0, "reported/generation/figures/a>b/mse": 1.0,
    }  # fmt: skip
