"""Judges of all kinds of modality: what they learn, see and remember, and that they are the same every time."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from raysim.data.dataset import DataError, Dataset, Modality, Split
from raysim.data.ragged import Ragged
from raysim.generation import judges
from raysim.generation.judges import FEATURES, Judge, JudgeSettings, judges_of, train_judges
from raysim.models.layers import Linear
from raysim.seeding import stream
from raysim.training.loading import load

KINDS = {
    "image": Modality("image", (3, 12, 12)), "vector": Modality("vector", (5,)),
    "sequence": Modality("sequence", (9, 4)), "long": Modality("sequence", (64, 4)),
    "tokens": Modality("tokens", (7,), 10),
}  # fmt: skip
QUICK = JudgeSettings(epochs=8, batch_size=16, lr=0.01, least_steps=1)
SHORT = QUICK.model_copy(update={"epochs": 1})


def split(rows, name, *, multi_label=False):
    """Samples that show their class: bright pixels, large numbers, the word after it."""
    rng = stream(0, "samples", name)
    y = rng.integers(3, size=rows)
    signal = np.eye(3, dtype=np.float32)[y]
    inputs, lengths = {}, {}
    image = rng.integers(100, size=(rows, 3, 12, 12)) + 155 * signal[:, :, None, None]
    inputs["image"] = image.clip(0, 255).astype(np.uint8)
    inputs["vector"] = rng.standard_normal((rows, 5), dtype=np.float32) + 3 * np.pad(signal, ((0, 0), (0, 2)))
    for name, steps in (("sequence", 9), ("long", 64)):
        lengths[name] = rng.integers(2, steps + 1, size=rows)
        ends = np.cumsum(lengths[name])
        values = 0.3 * rng.standard_normal((ends[-1], 4), dtype=np.float32)
        values += np.pad(signal, ((0, 0), (0, 1)))[np.repeat(np.arange(rows), lengths[name])]
        inputs[name] = Ragged(values, np.stack([ends - lengths[name], ends], axis=1))
    inputs["tokens"] = rng.integers(2, size=(rows, 7)) + 2 * y[:, None]
    lengths["tokens"] = rng.integers(3, 8, size=rows)
    return Split(inputs, signal if multi_label else y, lengths)


def data(**wishes):
    train, test = split(120, "train", **wishes), split(60, "test", **wishes)
    return Dataset(KINDS, ("a", "b", "c"), bool(wishes), train, test, test)


DATA = data()


def weights(found, m):
    return torch.cat([p.flatten() for p in found.by_modality[m].parameters()])


@pytest.fixture(scope="module")
def found():
    return train_judges(DATA, QUICK)


@pytest.mark.parametrize("m", KINDS)
def test_a_judge_of_each_kind_learns(found, m):
    assert found.accuracy[m] > 0.9
    assert not any(p.requires_grad for p in found.by_modality[m].parameters())


def test_accuracy_is_the_share_of_real_test_samples(found):
    x = torch.from_numpy(DATA.test.inputs["image"]).float() / 255
    right = found.by_modality["image"](x).argmax(-1).numpy() == DATA.test.labels
    assert found.accuracy["image"] == right.mean()


def test_several_labels_are_judged_one_by_one():
    found = train_judges(data(multi_label=True), QUICK, ["vector"])
    x, y = torch.from_numpy(DATA.test.inputs["vector"]), DATA.test.labels
    right = (found.by_modality["vector"](x) > 0).numpy() == np.eye(3, dtype=bool)[y]
    assert found.accuracy["vector"] == pytest.approx(np.mean([right[:, c].mean() for c in range(3)]))
    assert found.accuracy["vector"] > 0.9


@pytest.mark.parametrize("m", KINDS)
def test_features_and_logits_of_a_batch_as_networks_see_it(found, m):
    alone = DATA.only((m,))
    samples = load(alone, alone.test, [np.arange(5)], np.ones((60, 1), dtype=bool), torch.device("cpu"))
    x, lengths = samples.at(0)[m], samples.lengths[m][0] if m in samples.lengths else None
    judge = found.by_modality[m]
    features = judge.features(x, lengths)
    assert features.shape == (5, FEATURES)
    assert features.min() >= 0
    torch.testing.assert_close(judge(x, lengths), judge.head(features))
    assert judge.features(x[:0], None if lengths is None else lengths[:0]).shape == (0, FEATURES)


@pytest.mark.parametrize("m", ["sequence", "long", "tokens"])
def test_what_stands_after_a_sample_s_end_changes_nothing(found, m):
    judge, lengths = found.by_modality[m], torch.tensor([3, 5])
    x = stream(0, "padded", m).integers(9, size=(2, 8, *KINDS[m].shape[1:]))
    x = torch.from_numpy(x) if m == "tokens" else torch.from_numpy(x).float()
    other = x.clone()
    other[0, 3:], other[1, 5:] = 0, 1
    torch.testing.assert_close(judge(x, lengths), judge(other, lengths))


def test_sequences_of_one_step_are_judged_where_the_data_s_are_long(found):
    x = torch.ones(2, 1, 4)
    padded = torch.cat([x, torch.full((2, 15, 4), 7.0)], dim=1)
    judge = found.by_modality["long"]
    torch.testing.assert_close(judge.features(x), judge.features(padded, torch.tensor([1, 1])))


def test_the_same_bits_every_time_whatever_else_is_drawn_and_asked_for(found):
    torch.rand(3)
    before = torch.get_rng_state()
    again = train_judges(DATA, QUICK, ["vector"])
    assert torch.equal(weights(again, "vector"), weights(found, "vector"))
    assert again.accuracy == {"vector": found.accuracy["vector"]}
    assert torch.equal(torch.get_rng_state(), before)
    other = train_judges(DATA, QUICK.model_copy(update={"seed": 1}), ["vector"])
    assert not torch.equal(weights(other, "vector"), weights(found, "vector"))


def test_samples_that_lack_a_modality_are_not_read():
    there = np.arange(120) % 3 > 0
    inputs = dict(DATA.train.inputs)
    inputs["vector"] = np.where(there[:, None], inputs["vector"], np.nan)
    hidden = replace(DATA, train=replace(DATA.train, inputs=inputs, present={"vector": there}))
    found = train_judges(hidden, QUICK, ["vector"])
    assert found.accuracy["vector"] > 0.9


@pytest.mark.parametrize("m", ["sequence", "long"])
def test_means_of_sequences_as_generators_make_them_are_judged_too(found, m):
    rows = DATA.test.inputs[m]
    means = np.stack([rows.values[start:stop].mean(axis=0) for start, stop in rows.spans])
    guessed = found.by_modality[m](torch.from_numpy(means)[:, None]).argmax(-1).numpy()
    assert (guessed == DATA.test.labels).mean() > 0.9


@pytest.fixture
def taken(monkeypatch):
    """The training rows of each batch."""
    batches, real = [], judges.load

    def watched(dataset, part, rows, *rest):
        if len(part) == 120:  # the training split
            batches.append(rows[0].tolist())
        return real(dataset, part, rows, *rest)

    monkeypatch.setattr(judges, "load", watched)
    return batches


def test_fewer_rows_are_a_choice_among_all(taken):
    train_judges(DATA, QUICK.model_copy(update={"rows": 40, "epochs": 2}), ["vector"])
    first, second = (np.concatenate(part) for part in (taken[: len(taken) // 2], taken[len(taken) // 2 :]))
    assert sorted(first) == sorted(second) == sorted(set(first))
    assert first.tolist() != second.tolist()
    assert len(first) == 40 < first.max()


def test_small_datasets_are_passed_over_in_small_batches_until_there_are_steps_enough(taken):
    train_judges(DATA, JudgeSettings(epochs=1, least_steps=40), ["vector"])
    assert {len(rows) for rows in taken} == {7, 1}  # a sixteenth of 120, and what is left
    assert len(taken) == 3 * 18


def test_they_travel(found):
    there = pickle.loads(pickle.dumps(found))
    x = torch.from_numpy(DATA.test.inputs["vector"])
    assert torch.equal(there.by_modality["vector"].features(x), found.by_modality["vector"].features(x))
    assert there.accuracy == found.accuracy


class TestKept:
    """`judges_of` on two modalities."""

    small = DATA.only(("vector", "tokens"))

    @pytest.fixture
    def trained(self, monkeypatch):
        """How often any were."""
        calls = []
        monkeypatch.setattr(judges, "train_judges", lambda *a: calls.append(a) or train_judges(*a))
        return calls

    def of(self, folder, key="vectors", settings=SHORT, dataset=small):
        return judges_of(dataset, key, settings, folder)

    def test_they_are_trained_once(self, tmp_path, trained):
        first, second = self.of(tmp_path), self.of(tmp_path)
        assert len(trained) == 1
        assert second.accuracy == first.accuracy
        for m in ("vector", "tokens"):
            assert torch.equal(weights(second, m), weights(first, m))
            assert not weights(second, m).requires_grad
        names = sorted(p.suffix for p in (tmp_path / "judges").iterdir() if not p.name.startswith("."))
        assert names == [".json", ".safetensors"]

    def test_other_keys_settings_and_data_have_others(self, tmp_path, trained):
        self.of(tmp_path)
        self.of(tmp_path, key="others")
        self.of(tmp_path, settings=QUICK.model_copy(update={"epochs": 2}))
        labels = replace(self.small.train, labels=self.small.train.labels[::-1].copy())
        self.of(tmp_path, dataset=replace(self.small, train=labels))
        inputs = self.small.test.inputs | {"vector": self.small.test.inputs["vector"] + 1}
        self.of(tmp_path, dataset=replace(self.small, test=replace(self.small.test, inputs=inputs)))
        assert len(trained) == 5
        assert len(list((tmp_path / "judges").glob("*.json"))) == 5

    def cut(self, path, suffix):
        (file,) = path.glob(f"judges/*{suffix}")
        file.write_bytes(file.read_bytes()[:-9])

    def flip(self, path, suffix):
        (file,) = path.glob(f"judges/*{suffix}")
        data = bytearray(file.read_bytes())
        data[-50] ^= 1
        file.write_bytes(data)

    def lie(self, path, suffix):
        (file,) = path.glob("judges/*.json")
        record = json.loads(file.read_text())
        record["accuracy"]["vector"] = 1.5
        file.write_text(json.dumps(record))

    def remove(self, path, suffix):
        (file,) = path.glob(f"judges/*{suffix}")
        file.unlink()

    @pytest.mark.parametrize(
        ("damage", "suffix"),
        [("cut", ".json"), ("cut", ".safetensors"), ("flip", ".safetensors"), ("lie", ".json"), ("remove", ".json"),
         ("remove", ".safetensors")],
    )  # fmt: skip
    def test_what_is_damaged_is_made_anew(self, tmp_path, trained, damage, suffix):
        first = self.of(tmp_path)
        getattr(self, damage)(tmp_path, suffix)
        assert self.of(tmp_path).accuracy == first.accuracy
        assert len(trained) == 2
        self.of(tmp_path)
        assert len(trained) == 2

    def test_while_another_process_writes_nothing_is_written(self, tmp_path, monkeypatch):
        monkeypatch.setattr(judges.disk, "hold", lambda path: None)
        assert self.of(tmp_path).accuracy == train_judges(self.small, SHORT).accuracy
        assert list((tmp_path / "judges").iterdir()) == []


@pytest.mark.parametrize(("size", "left"), [(2, 1), (4, 2), (12, 3), (28, 3), (64, 4), (224, 3)])
def test_images_of_any_size_are_halved_until_little_is_left(size, left):
    judge = Judge(Modality("image", (1, size, size)), 2)
    assert judge(torch.zeros(2, 1, size, size)).shape == (2, 2)
    (dense,) = [m for m in judge.encoder.modules() if isinstance(m, Linear)]
    assert dense.in_features in {width * left * left for width in (16, 32, 64)}


def test_a_picture_of_28_pixels_is_judged_by_few_numbers():
    judge = Judge(Modality("image", (3, 28, 28)), 10)
    assert sum(p.numel() for p in judge.parameters()) == 98_730  # 16-32-64, 128 features, 10 classes


def test_what_cannot_be_judged():
    with pytest.raises(DataError, match="the data has no modality 'vectr'; did you mean 'vector'"):
        train_judges(DATA, QUICK, ["vectr"])
    nobody = replace(DATA, train=replace(DATA.train, present={"vector": np.zeros(120, dtype=bool)}))
    with pytest.raises(DataError, match="no train sample has 'vector'"):
        train_judges(nobody, QUICK, ["vector"])
    with pytest.raises(ValidationError, match="epochs"):
        JudgeSettings(epochs=0)
