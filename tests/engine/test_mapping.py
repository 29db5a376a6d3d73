"""Data preparation on Ray: equal parts in any order, whoever dies."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ray import cloudpickle

from raysim.data.dataset import DataError
from raysim.data.extraction import Work, here
from raysim.data.extractor import Extractor
from raysim.data.media import Unreadable
from raysim.engine.mapping import MAX_FAILURES, OnRay, spread

pytestmark = pytest.mark.ray

REAL = Path(__file__).parents[2] / "../shared/data"
CHUNKS = [[i, i + 10] for i in range(7)]


@pytest.fixture(autouse=True, scope="module")
def sent_as_a_whole():
    """Other processes cannot import this file."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


class Multiple(Extractor):
    """Numbers times a factor that is only known once it is opened; the file counts how often that is."""

    def __init__(self, factor, opened=None):
        super().__init__(Extractor.Options())
        self.factor, self.opened, self.known = factor, opened, None

    def open(self):
        if self.opened is not None:
            with self.opened.open("a") as file:
                file.write(f"{os.getpid()}\n")
        self.known = self.factor

    def extract(self, media):
        return [np.array([self.known * n], np.float32) for n in media]


def read(item):
    if item == 13:
        raise Unreadable("thirteen")
    return item


def parts(answers):
    return {
        number: (part.values.tolist(), part.lengths.tolist(), part.single, part.reasons) for number, part in answers
    }


@pytest.mark.parametrize("workers", [1, 2, None])
def test_the_parts_are_those_of_this_process(local_ray, workers):
    work = Work(Multiple(3), read)
    found = parts(spread(work, CHUNKS, workers=workers))
    assert found == parts(here(work, CHUNKS))
    assert found[3] == ([[9.0]], [1, 0], True, {1: "thirteen"})


def test_no_chunks(local_ray):
    assert list(spread(Work(Multiple(3), read), [], workers=2)) == []


def test_a_process_opens_the_extractor_once(local_ray, tmp_path):
    list(spread(Work(Multiple(3, tmp_path / "opened"), read), CHUNKS, workers=2))
    opened = (tmp_path / "opened").read_text().splitlines()
    assert len(opened) == len(set(opened)) <= 2


def test_one_work_after_another_is_not_mixed_up(local_ray):
    """They are told apart although they have one address in memory, as happens when the first one is gone."""
    work = Work(Multiple(1), read)
    for factor in (1, 2, 3):
        work.extractor.factor = factor
        found = parts(spread(work, [[1], [2]], workers=1))
        assert [found[i][0] for i in (0, 1)] == [[[factor]], [[2 * factor]]]


def test_whoever_stops_asking_stops_the_work(local_ray):
    answers = spread(Work(Multiple(3), read), CHUNKS, workers=2)
    next(answers)
    answers.close()
    assert len(parts(spread(Work(Multiple(5), read), CHUNKS, workers=2))) == len(CHUNKS)


class Closed(Multiple):
    def open(self):
        raise DataError("there are no weights; put them there")


class Odd(Multiple):
    def extract(self, media):
        return [np.ones(2 + i, np.float32) for i in range(len(media))]


class Broken(Multiple):
    def extract(self, media):
        raise ZeroDivisionError("a fault of the extractor")


@pytest.mark.parametrize(
    ("extractor", "message"),
    [
        (Closed(1), "there are no weights; put them there"),
        (Odd(1), "features differ in shape, (2,) and (3,); give the extractor a size"),
    ],
    ids=["open", "extract"],
)
def test_an_error_about_the_data_arrives_as_it_was(local_ray, extractor, message):
    with pytest.raises(DataError) as caught:
        list(spread(Work(extractor, read), CHUNKS, workers=2))
    assert str(caught.value) == message


def test_an_error_of_the_extractor_is_not_hidden(local_ray):
    with pytest.raises(ZeroDivisionError, match="a fault of the extractor"):
        list(spread(Work(Broken(1), read), CHUNKS, workers=2))


class Mortal(Multiple):
    """Kills its own process at the number 4, as often as there are lives in a file."""

    def extract(self, media):
        if 4 in media and (lives := int(self.opened.read_text())):
            self.opened.write_text(str(lives - 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().extract(media)

    def open(self):
        self.known = self.factor


def test_the_chunk_of_a_process_that_died_is_done_again(local_ray, tmp_path):
    lives = tmp_path / "lives"
    lives.write_text("1")
    found = parts(spread(Work(Mortal(3, lives), read), CHUNKS, workers=2))
    assert found == parts(here(Work(Multiple(3), read), CHUNKS))
    assert lives.read_text() == "0"


def test_a_chunk_whose_process_always_dies_is_one_line(local_ray, tmp_path):
    lives = tmp_path / "lives"
    lives.write_text("99")
    with pytest.raises(DataError) as caught:
        list(spread(Work(Mortal(3, lives), read), CHUNKS, workers=2))
    assert str(caught.value).startswith("extraction: ")
    assert str(caught.value).endswith("; run it again with fewer --workers")
    assert "\n" not in str(caught.value)
    assert int(lives.read_text()) == 99 - 1 - MAX_FAILURES


def test_ray_is_not_started_before_it_is_needed():
    with OnRay(2, "127.0.0.1:1") as mapper:
        assert mapper is not None


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "fsdd").is_dir(), reason="needs ../shared/data: MNIST and the spoken digits")
def test_a_preparation_that_was_killed_goes_on(marked):
    """Half-way through AV-MNIST: what is prepared in the end is what an undisturbed preparation gives."""
    command = ("data", "prepare", "av_mnist", "--root", REAL.resolve(), "--workers", "2", "--cache")
    process = marked.start(*command, marked.folder / "killed")
    parts = marked.folder / "killed" / ".parts"
    end = time.monotonic() + 120
    while len(list(parts.glob("audio-*.npz"))) < 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    process.communicate()
    kept = {p.name: p.stat().st_mtime_ns for p in parts.glob("*.npz")}
    assert 5 <= len(kept) < 60
    assert not (marked.folder / "killed" / "prepared.json").exists()
    marked.kill()

    status, out, err = marked.run(*command, marked.folder / "killed")
    assert status == 0, err
    assert out.startswith("prepared: 3,000 samples in ")
    assert marked.run(*command, marked.folder / "undisturbed")[0] == 0
    one, other = ((marked.folder / f / "prepared.json").read_bytes() for f in ("killed", "undisturbed"))
    assert one == other
    assert json.loads(one)["samples"] == 3000
    marked.assert_all_gone(within_s=20)
