"""Event files, as TensorBoard's own reader finds them."""

import pytest

pytest.importorskip("tensorboard", reason="pip install 'raysim[tensorboard]'")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData


def read(folder):
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def scalars(found, name):
    return [(event.step, event.value) for event in found.Scalars(name)]


def hparams(found, tag):
    return HParamsPluginData.FromString(found.summary_metadata[f"_hparams_/{tag}"].plugin_data.content)


def test_a_study_that_goes_on_has_each_round_once(study):
    made = study("tensorboard")
    made.killed()
    found = read(made.folder)
    assert scalars(found, "validation/accuracy") == [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)]
    assert scalars(found, "cost/bytes_up") == [(1, 10.0), (2, 20.0), (3, 30.0), (4, 40.0)]
    assert scalars(found, "generation/a+b>c/mse")[-1] == (4, 0.25)
    assert scalars(found, "reported/test/accuracy") == [(4, 1.0)]
    assert len(list(made.folder.glob("*tfevents*"))) == 1
    assert made.warnings == []


def test_parameters_and_texts(study):
    made = study("tensorboard")
    made.killed()
    found = read(made.folder)
    start = hparams(found, "session_start_info").session_start_info
    assert start.group_name == "study/method=zero,seed=7"
    values = {name: value.WhichOneof("kind") for name, value in start.hparams.items()}
    assert values == {
        "name": "string_value", "method.name": "string_value", "method.width": "number_value", "seed": "number_value",
        "model.dropout": "number_value", "model.start": "string_value", "grid.method": "string_value",
    }  # fmt: skip
    assert hparams(found, "session_end_info").session_end_info.status == 1  # success
    (*_, report) = found.Tensors("report.md")
    assert report.tensor_proto.string_val[0] == (made.out / "report.md").read_bytes()
    assert b"    method: {name: zero, width: 3}\n" in found.Tensors("scenario.yaml")[0].tensor_proto.string_val[0]


def test_a_failed_trial_says_why(study, told):
    made = study("tensorboard")
    made.process(made.started(), *made.rounds(1), told.failed).close()
    found = read(made.folder)
    assert hparams(found, "session_end_info").session_end_info.status == 2  # failure
    assert found.Tensors("error")[0].tensor_proto.string_val == [b"round 2: the loss is nan"]


def test_a_folder_of_several_studies(study, tmp_path):
    made = study("tensorboard", logdir=str(tmp_path / "all"))
    made.process(made.started(), *made.rounds(1)).close()
    assert scalars(read(tmp_path / "all" / "out" / "study" / "method=zero,seed=7"), "loss/task") == [(1, 1.0)]
    assert not list(made.folder.glob("*tfevents*"))


def test_a_folder_that_cannot_be_written_is_one_line(study, tmp_path):
    (tmp_path / "file").write_text("")
    made = study("tensorboard", logdir=str(tmp_path / "file"))
    made.process(made.started(), *made.rounds(1, 2), *made.end()).close()
    (line,) = made.warnings
    assert line.startswith("tensorboard: NotADirectoryError: ")
    assert line.endswith("; the study goes on without it, and what it misses is told by --resume")
