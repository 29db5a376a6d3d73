"""Datasets that are read while something else is done."""

import sys
import threading

import numpy as np
import pytest

import raysim.datasets.synthetic as synthetic
from raysim.data.dataset import DataError
from raysim.scenario.schema import Scenario
from raysim.simulation.loaded import data_key, dataset_of, forget, read_ahead


@pytest.fixture(autouse=True)
def fresh():
    forget()
    yield
    forget()


def scenario(**dataset):
    return Scenario.model_validate(
        {
            "name": "s",
            "seeds": [1],
            "dataset": dataset,
            "method": "zero_fill",
            "partition": {"name": "iid", "clients": 2},
            "federation": {"rounds": 1},
        }
    )


def test_what_was_read_ahead_is_read_once_and_the_same(monkeypatch):
    some = scenario(name="synthetic", clients=5)
    alone = dataset_of(data_key(some))
    forget()
    threads, load = [], synthetic.Synthetic.load
    monkeypatch.setattr(
        synthetic.Synthetic, "load", lambda self: (threads.append(threading.current_thread()), load(self))[1]
    )
    read_ahead(some)
    read_ahead(some)
    found = dataset_of(data_key(some))
    assert dataset_of(data_key(some)) is found
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
    np.testing.assert_array_equal(found.train.inputs["m0"], alone.train.inputs["m0"])


def test_what_goes_wrong_is_said_where_the_data_is_asked_for(tmp_path):
    lost = scenario(name="arrays", path=str(tmp_path / "nowhere"))
    read_ahead(lost)
    with pytest.raises(DataError, match="nowhere"):
        dataset_of(data_key(lost))


OWN = """
import threading

from raysim.data.dataset import DataError, Source

IMPORTED_BY = threading.current_thread()

class Data(Source):
    def load(self):
        raise DataError("mine")
"""


def test_a_users_own_dataset_is_not_read_ahead(tmp_path, monkeypatch):
    (tmp_path / "mine_of_ahead.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    own = scenario(name="mine_of_ahead:Data")
    read_ahead(own)
    with pytest.raises(DataError, match="mine"):
        dataset_of(data_key(own))
    assert sys.modules["mine_of_ahead"].IMPORTED_BY is threading.current_thread()
