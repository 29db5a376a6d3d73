import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models

from raysim import registry
from raysim.data.arrays import kinds, shapes
from raysim.data.dataset import DataError
from raysim.datasets.arrays import Arrays
from raysim.training import loading

ROOT = Path(__file__).parents[2]
MOSI = ROOT / "../shared/data/cmu_mosi"


def load(path, **options):
    return Arrays(registry.options(Arrays, {"path": str(path), **options})).load()


def small(**changes):
    """Six samples: two to train on, one to validate, three to test."""
    arrays = {
        "x.text": np.arange(12.0).reshape(6, 2),
        "x.audio": np.arange(36.0).reshape(6, 3, 2),
        "x.image": np.zeros((6, 1, 2, 2), np.uint8),
        "x.words": np.arange(24).reshape(6, 4),
        "y": np.array([0, 1, 2, 0, 1, 2]),
        "split": np.array(["train", "train", "validation", "test", "test", "test"]),
        "client": np.array(["b", "a", "b", "c", "c", "c"]),
        "length.audio": np.array([1, 3, 2, 3, 3, 3]),
    }
    return {k: v for k, v in {**arrays, **changes}.items() if v is not None}


def test_a_file_becomes_a_dataset(tmp_path):
    np.savez(tmp_path / "a.npz", **small())
    data = load(tmp_path / "a.npz")
    assert {m: (s.kind, s.shape, s.vocabulary) for m, s in data.modalities.items()} == {
        "text": ("vector", (2,), None), "audio": ("sequence", (3, 2), None),
        "image": ("image", (1, 2, 2), None), "words": ("tokens", (4,), 24),
    }  # fmt: skip
    assert (data.classes, data.multi_label, data.client_names) == (("0", "1", "2"), False, ("a", "b", "c"))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [2, 1, 3]
    assert data.train.inputs["text"].tolist() == [[0, 1], [2, 3]]
    assert data.train.inputs["audio"].tolist() == [[[0, 1], [0, 0], [0, 0]], [[6, 7], [8, 9], [10, 11]]]
    assert data.train.lengths["audio"].tolist() == [1, 3]
    assert data.train.lengths["words"].tolist() == [4, 4]
    assert data.train.clients.tolist() == [1, 0]
    assert (data.train.inputs["text"].dtype, data.train.inputs["image"].dtype) == (np.float32, np.uint8)


def test_a_folder_is_the_same_as_a_file(tmp_path):
    for key, array in small().items():
        np.save(tmp_path / f"{key}.npy", array)
    data = load(tmp_path)
    assert data.test.labels.tolist() == [0, 1, 2]
    assert data.test.inputs["words"][0].tolist() == [12, 13, 14, 15]


def test_several_labels_and_numbered_splits(tmp_path):
    y = np.array([[0, 1], [1, 1], [0, 0], [1, 0], [0, 0], [1, 1]])
    np.savez(tmp_path / "a.npz", **small(y=y, split=np.array([0, 0, 1, 2, 2, 2]), classes=["ill", "old"]))
    data = load(tmp_path / "a.npz")
    assert (data.multi_label, data.classes) == (True, ("ill", "old"))
    assert data.train.labels.tolist() == [[0, 1], [1, 1]]


def test_what_is_absent_may_hold_anything(tmp_path):
    text = np.arange(12.0).reshape(6, 2)
    text[1] = np.nan
    np.savez(tmp_path / "a.npz", **small(**{"x.text": text, "present.text": [1, 0, 1, 1, 1, 1]}))
    data = load(tmp_path / "a.npz", standardize=True)
    assert data.train.present["text"].tolist() == [True, False]
    assert data.train.presence(("text", "words")).tolist() == [[True, True], [False, True]]
    assert np.isfinite(data.train.inputs["text"][0]).all()


def test_steps_after_the_end_are_zeros_whatever_they_held(tmp_path):
    audio = np.arange(36.0).reshape(6, 3, 2)
    audio[0, 1:] = np.nan
    np.savez(tmp_path / "a.npz", **small(**{"x.audio": audio}))
    assert load(tmp_path / "a.npz").train.inputs["audio"][0].tolist() == [[0, 1], [0, 0], [0, 0]]


def test_scores_are_standard_over_the_training_samples_valid_steps(tmp_path):
    np.savez(tmp_path / "a.npz", **small())
    data = load(tmp_path / "a.npz", standardize=True)
    assert data.train.inputs["text"].tolist() == [[-1, -1], [1, 1]]
    assert data.validation.inputs["text"].tolist() == [[3, 3]]
    valid = np.concatenate([data.train.inputs["audio"][0, :1], data.train.inputs["audio"][1]])
    assert valid.mean(axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert valid.std(axis=0) == pytest.approx([1, 1], abs=1e-6)
    assert data.train.inputs["audio"][0, 1:].tolist() == [[0, 0], [0, 0]]


def test_validation_samples_are_held_out_where_there_are_none(tmp_path):
    split = np.array(["train"] * 20 + ["test"] * 4)
    arrays = {"x.a": np.arange(24.0)[:, None], "y": np.zeros(24, int), "split": split}
    np.savez(tmp_path / "a.npz", **arrays)
    data = load(tmp_path / "a.npz", validation=0.2)
    rows = [s.inputs["a"][:, 0].tolist() for s in (data.train, data.validation)]
    assert len(rows[1]) == 4
    assert sorted(rows[0] + rows[1]) == list(range(20))
    assert rows == [
        s.inputs["a"][:, 0].tolist() for s in (load(tmp_path / "a.npz", validation=0.2).train, data.validation)
    ]


MALFORMED = [
    (small(y=None), "has no 'y'; add the class of each sample, integers (N,) from 0; or labels, "),
    (small(split=None), "has no 'split'; add one of train, validation and test a sample, such as numpy.where("),
    (small(split=None, splits=np.zeros(6)), "has no 'split'; did you mean 'splits'?"),
    ({"y": np.zeros(2, int), "split": np.array([0, 2])}, "has no modality; name one x.<modality>"),
    (small(y=np.arange(5) % 2), "'x.audio' has shape (6, 3, 2), but y has 5 rows"),
    (small(**{"x.text": np.float32(1)}), "'x.text' has shape (), but y has 6 rows"),
    (small(**{"x.text": np.zeros((6, 2, 2, 2, 2))}), "'x.text' is float64 of shape (6, 2, 2, 2, 2); write floats"),
    (small(**{"x.text": np.array(["a"] * 6)}), "'x.text' is <U1 of shape (6,); write floats"),
    (small(**{"x.text": np.zeros((6, 0))}), "'x.text' has shape (6, 0), which is empty"),
    (small(**{"x.text": np.full((6, 2), np.inf)}), "'x.text' is not finite in 6 samples that have it, first in row 0"),
    (small(**{"x.words": np.full((6, 4), -1)}), "'x.words' has the token -1; tokens count from 0"),
    (small(**{"length.audio": np.array([1, 4, 1, 1, 1, 1])}), "'length.audio' is 4 in row 1; it must be 1 to 3"),
    (small(**{"length.audio": np.zeros(6)}), "'length.audio' is float64 of shape (6,); write integers (N,)"),
    (small(**{"length.adio": np.ones(6, int)}), "'length.adio' belongs to no modality; did you mean 'audio'?"),
    (small(**{"present.text": np.full(6, 2)}), "'present.text' is int64 of shape (6,); write booleans (N,)"),
    (small(labels=np.zeros(6)), "'labels' is not a known key; there are: y, split, client, classes, targets, x.audio"),
    (small(clients=np.zeros(6)), "'clients' is not a known key; did you mean 'client'?"),
    (small(x_lab=np.zeros((6, 2))), "'x_lab' is not a known key; did you mean 'x.lab'?"),
    (small(**{"lengths.text": np.zeros(6)}), "'lengths.text' is not a known key; did you mean 'length.text'?"),
    (small(present_text=np.zeros(6)), "'present_text' is not a known key; did you mean 'present.text'?"),
    (small(clinic=np.zeros((6, 2))), "'clinic' is not a known key; a modality is 'x.clinic'"),
    (small(y=np.array([0, 1, 2, -1, 1, 2])), "'y' has the class -1 in row 3; classes count from 0"),
    (small(y=np.zeros(6)), "'y' is float64 of shape (6,); write integers (N,), or 0 and 1 (N, C)"),
    (small(y=np.full((6, 2), 3)), "'y' has values other than 0 and 1"),
    (small(classes=np.array(["a"])), "'classes' names 1 classes, y has 3; name them all"),
    (small(split=np.array(["train"] * 5 + ["tset"])), "'split' has the value 'tset'; write train, validation, test"),
    (small(split=np.array(["train"] * 6)), "'split' leaves no test sample; every split needs some"),
    (small(split=np.zeros(6)), "'split' is float64 of shape (6,); write train"),
    (small(classes=np.array(["a", "b", "a"])), "'classes' names two classes 'a'; give each a name of its own"),
    (small(classes=np.array("cat")), "'classes' has shape (); write one name a class, such as numpy.array(['cat', "),
    (small(y=np.array(3)), "'y' is a single value; write one class a sample, integers (N,)"),
    (small(split=np.array(["train", "test"])), "'split' has shape (2,), but y has 6 rows"),
    (
        small(split=np.array("train")),
        "'split' has shape (), but y has 6 rows; one row a sample is needed: numpy.full(6, split)",
    ),
    (small(**{"length.audio": np.array(3)}), "'length.audio' has shape (), but y has 6 rows"),
    (small(**{"length.text": np.ones(6, int)}), "'length.text' has no use: x.text is vector, which has no steps; rem"),
    (small(**{"codec.text": np.array("{}")}), "'codec.text' has no use: x.text is vector, not tokens; remove it"),
    (small(**{"x.": np.zeros((6, 2))}), "'x.' is not a known key"),
    (
        small(**{"x.text": np.zeros((2, 6))}),
        "'x.text' has shape (2, 6), but y has 6 rows; one row a sample is needed: numpy.moveaxis(x.text, 1, 0)",
    ),
    (small(**{"x.text": np.zeros(6)}), "'x.text' is float64 of shape (6,); write floats (N, D): x[:, None]"),
    (
        small(**{"x.audio": np.zeros((6, 3, 2), int)}),
        "'x.audio' is int64 of shape (6, 3, 2); write floats: x.astype('f",
    ),
    (
        small(**{"x.words": np.full((6, 4), 10**9)}),
        "'x.words' has the token 1000000000; tokens count from 0, more than "
        "300,000; features are floats: x.astype('float32')",
    ),
    (
        small(**{"x.image": np.zeros((6, 9, 8, 3), np.uint8)}),
        "'x.image' has shape (6, 9, 8, 3); pictures have their "
        "channels first, (N, C, H, W): write numpy.moveaxis(x, -1, 1)",
    ),
    (small(**{"x.image": np.zeros((6, 8, 8), np.uint8)}), "'x.image' is uint8 of shape (6, 8, 8); write pictures as"),
    (
        small(**{"x.text": np.array([[1.0], [2, 3]] * 3, object)}),
        "'x.text' is an array of Python objects of shape (6,);"
        " write rows of unlike lengths: pad them and give length.text, or write x.text = numpy.concatenate(rows)",
    ),
    (
        small(**{"x.text": np.zeros((6, 2), object)}),
        "'x.text' is an array of Python objects of shape (6, 2); write num",
    ),
    (
        small(classes=np.array(["a", "b", "c"], object)),
        "'classes' is an array of Python objects of shape (3,); write text: numpy.asarray(classes, dtype=str)",
    ),
    (small(**{"x.text": np.full((6, 2), 1e300)}), "'x.text' holds 1e+300, which a float32 cannot; scale it"),
    (
        small(**{"x.text": 1.7e9 + np.arange(12.0).reshape(6, 2)}),
        "'x.text' varies by 3.4 around 1.7e+09 in feature 0, "
        "which a float32 cannot hold; set dataset.standardize: true, or subtract the mean and scale",
    ),
    (
        small(**{"x.text": 1e-50 * np.arange(12.0).reshape(6, 2)}),
        "'x.text' varies by 3.4e-50 around 5e-50 in feature 0",
    ),
    (small(client=np.zeros((6, 2), int)), "'client' is int64 of shape (6, 2); write integers or strings (N,)"),
]


@pytest.mark.parametrize(("arrays", "message"), MALFORMED, ids=[m[:40] for _, m in MALFORMED])
def test_what_is_malformed_is_one_line(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError) as caught:
        load(tmp_path / "a.npz")
    assert message in str(caught.value)
    assert str(tmp_path / "a.npz") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_is_one_line(tmp_path):
    np.savez(tmp_path / "good.npz", **small())
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "pickled.npz", y=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("no array")
    (tmp_path / "torn.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:300])
    (tmp_path / "empty").mkdir()
    for name, message in {
        "nothing.npz": "does not exist; correct the path",
        "one.npy": "is a single array; give an .npz",
        "pickled.npz": "'y' is an array of Python objects of shape (1,); write integers: numpy.asarray(y, ",
        "text.npz": "cannot be read: ",
        "torn.npz": "cannot be read: ",
        "empty": "holds no arrays; it needs x.<modality>, y and split",
    }.items():
        with pytest.raises(DataError) as caught:
            load(tmp_path / name)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("unit", [1.0, 1e-13, 1e-200, 1e200])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_scores_depend_neither_on_the_unit_nor_on_the_offset(tmp_path, unit, offset):
    text = (np.arange(12.0).reshape(6, 2) + offset) * unit
    np.savez(tmp_path / "a.npz", **small(**{"x.text": text}))
    data = load(tmp_path / "a.npz", standardize=True)
    assert data.train.inputs["text"] == pytest.approx(np.array([[-1, -1], [1, 1]]), abs=1e-6)
    assert data.test.inputs["text"][0] == pytest.approx(np.array([5, 5]), abs=1e-6)


def test_bytes_are_read_as_text(tmp_path):
    split = np.array([b"train", b"train", b"validation", b"test", b"test", b"test"])
    np.savez(tmp_path / "a.npz", **small(split=split, classes=np.array(["é".encode(), b"b", b"c"])))
    assert load(tmp_path / "a.npz").classes == ("é", "b", "c")
    np.savez(tmp_path / "a.npz", **small(classes=np.array([b"\xff", b"b", b"c"])))
    with pytest.raises(DataError, match=r"'classes' is no UTF-8 text; write classes = numpy.char.decode"):
        load(tmp_path / "a.npz")


def test_arrays_that_were_saved_without_keys_are_told_apart(tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros(3), np.zeros(3))
    with pytest.raises(
        DataError, match=r"has no 'y'; numpy.savez names arrays arr_0, arr_1, … where it is given no keys"
    ):
        load(tmp_path / "a.npz")


LENGTHS = {"audio": [1, 3, 2, 3, 1, 2], "words": [4, 1, 2, 3, 4, 1]}
"""Of the six samples."""


def one_after_another(**changes):
    """What `small` holds, sequences and tokens without padding, and pictures as files."""
    full, found = small(), {}
    for name, lengths in LENGTHS.items():
        ends = np.cumsum(lengths)
        found[f"x.{name}"] = np.concatenate([x[:n] for x, n in zip(full[f"x.{name}"], lengths, strict=True)])
        found[f"span.{name}"] = np.stack([ends - lengths, ends], axis=1)
    pictures = [png(level) for level in range(6)]
    ends = np.cumsum([len(p) for p in pictures])
    found |= {"x.image": np.concatenate(pictures), "span.image": np.stack([ends - [len(p) for p in pictures], ends], 1)}
    return small(**{"length.audio": None, **found, **changes})


def png(level):
    file = io.BytesIO()
    Image.fromarray(np.full((2, 2), 40 * level, np.uint8)).save(file, "png")
    return np.frombuffer(file.getvalue(), np.uint8)


def tokenizer(*words):
    return np.array(Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token=words[0])).to_str())


@pytest.mark.parametrize("standardize", [False, True, {"audio": "client", "text": "train"}])
def test_samples_one_after_another_become_the_same_tensors(tmp_path, standardize):
    image = (40 * np.arange(6)).repeat(4).astype(np.uint8).reshape(6, 1, 2, 2)
    padded = small(**{"x.image": image, **{f"length.{m}": np.array(n) for m, n in LENGTHS.items()}})
    np.savez(tmp_path / "padded.npz", **padded)
    np.savez(tmp_path / "ragged.npz", **one_after_another())
    datasets = [load(tmp_path / f"{name}.npz", standardize=standardize) for name in ("padded", "ragged")]
    assert datasets[0].modalities == datasets[1].modalities
    for split in ("train", "validation", "test"):
        parts = [np.arange(len(datasets[0].split(split)))[::-1], np.array([0])]
        mask = np.ones((len(parts[0]), 4), dtype=bool)
        one, other = (loading.load(d, d.split(split), parts, mask, torch.device("cpu")) for d in datasets)
        assert sorted(one.x) == ["audio", "image", "text", "words"]
        for before, after in ((one.x, other.x), (one.lengths, other.lengths), (one.present, other.present)):
            assert before.keys() == after.keys()
            assert all(torch.equal(before[m][:], after[m][:]) for m in before)
        assert torch.equal(one.y, other.y)


def test_pictures_are_decoded_when_they_are_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", **one_after_another())
    data = load(tmp_path / "a.npz")
    assert (data.modalities["image"].shape, len(data.train.inputs["image"])) == ((1, 2, 2), 2)
    mask = np.ones((3, 4), dtype=bool)
    found = loading.load(data, data.test, [np.array([2, 0])], mask, torch.device("cpu")).x["image"]
    assert found[0][:, 0, 0, 0].tolist() == pytest.approx([200 / 255, 120 / 255])


def test_absent_samples_need_no_span(tmp_path):
    spans = one_after_another()["span.audio"]
    spans[1] = (-7, 99)
    present = np.array([True, False, True, True, True, True])
    np.savez(tmp_path / "a.npz", **one_after_another(**{"span.audio": spans, "present.audio": present}))
    data = load(tmp_path / "a.npz", standardize=True)
    assert data.train.lengths["audio"].tolist() == [1, 1]
    assert data.train.inputs["audio"].padded(3)[1].tolist() == [[0, 0]] * 3


def test_strange_values_matter_only_where_a_span_holds_them(tmp_path):
    arrays = one_after_another()
    ends = arrays["span.audio"][-1, 1]
    arrays["x.audio"] = np.concatenate([arrays["x.audio"], [[np.nan, np.inf]]])
    np.savez(tmp_path / "a.npz", **arrays)
    assert load(tmp_path / "a.npz").modalities["audio"].shape == (3, 2)
    arrays["span.audio"][2] = (0, ends + 1)
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=r"'x.audio' is not finite in 1 samples that have it, first in row 2"):
        load(tmp_path / "a.npz")


def test_a_codec_names_the_vocabulary(tmp_path):
    words = [f"w{i}" for i in range(30)]
    np.savez(tmp_path / "a.npz", **small(**{"codec.words": tokenizer(*words)}))
    spec = load(tmp_path / "a.npz").modalities["words"]
    assert (spec.vocabulary, spec.codec.decode([3, 29])) == (30, "w3 w29")


def test_each_modality_is_standardised_as_it_is_told(tmp_path):
    text = np.array([1.0, 3, 5, 10, 20, 40])[:, None]
    arrays = {"x.text": text, "split": np.array([0, 0, 1, 2, 2, 2]), "client": np.array([7, 7, 7, 8, 8, 9])}
    np.savez(tmp_path / "a.npz", **small(**arrays))

    def texts(**options):
        data = load(tmp_path / "a.npz", **options)
        return [s.inputs["text"][:, 0].tolist() for s in (data.train, data.validation, data.test)]

    assert texts() == [[1, 3], [5], [10, 20, 40]]
    assert texts(standardize={"text": "train"}) == [[-1, 1], [3], [8, 18, 38]]
    assert texts(standardize={"text": "client"}) == [[-1, 1], [0], [-1, 1, 0]]
    assert texts(standardize={"text": "fedmultimodal"}) == [[-1, 1], [0], [0, 0, 0]]
    assert load(tmp_path / "a.npz", standardize={"text": "train"}).train.inputs["audio"].max() == 11


RAGGED = [
    (
        {"span.text": np.zeros((6, 2), int), "x.text": np.zeros((9, 2, 2))},
        "'x.text' is float64 of shape (9, 2, 2); with span.text write floats (S, D), integers (S,), or bytes (S,)",
    ),
    ({"span.audio": np.zeros((6, 2))}, "'span.audio' is float64 of shape (6, 2); write integers (N, 2)"),
    ({"span.audio": np.zeros((6, 3), int)}, "'span.audio' is int64 of shape (6, 3); write integers (N, 2)"),
    ({"span.audio": np.zeros((5, 2), int)}, "'span.audio' has shape (5, 2), but y has 6 rows"),
    ({"span.audio": np.array([[0, 1]] * 5 + [[11, 13]])}, "'span.audio' is [11, 13] in row 5; x has 12 steps"),
    ({"span.audio": np.array([[-1, 1]] * 6)}, "'span.audio' is [-1, 1] in row 0; x has 12 steps"),
    ({"span.audio": np.array([[0, 1], [2, 2]] * 3)}, "'span.audio' is [2, 2] in row 1; x has 12 steps"),
    ({"span.adio": np.zeros((6, 2), int)}, "'span.adio' belongs to no modality; did you mean 'audio'?"),
    ({"x.image": np.zeros(999, np.uint8)}, "'x.image' does not begin with an image file: cannot identify image file"),
    ({"x.words": np.full(15, -2)}, "'x.words' has the token -2; tokens count from 0"),
    ({"codec.words": np.array("{")}, "'codec.words' is no tokenizer's JSON: EOF while parsing an object"),
    ({"codec.words": tokenizer("a", "b")}, "'codec.words' knows 2 tokens, but x.words has 20; they do not belong"),
    ({"codec.wrds": tokenizer("a")}, "'codec.wrds' belongs to no modality; did you mean 'words'?"),
]


@pytest.mark.parametrize(("changes", "message"), RAGGED, ids=[m[:50] for _, m in RAGGED])
def test_what_is_malformed_without_padding_is_one_line(tmp_path, changes, message):
    np.savez(tmp_path / "a.npz", **one_after_another(**changes))
    with pytest.raises(DataError) as caught:
        load(tmp_path / "a.npz")
    assert str(caught.value).startswith(f"{tmp_path / 'a.npz'}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("standardize", "client", "message"),
    [
        ({"txt": "train"}, None, "standardize: 'txt' is no vector or sequence of the data; did you mean 'text'?"),
        ({"image": "train"}, None,
         "standardize: 'image' is no vector or sequence of the data; there are: audio, text"),
        ({"text": "client"}, None, "standardize.text: the data has no natural clients; write train"),
    ],
)  # fmt: skip
def test_what_cannot_be_standardised_is_one_line(tmp_path, standardize, client, message):
    np.savez(tmp_path / "a.npz", **small(client=client))
    with pytest.raises(DataError) as caught:
        load(tmp_path / "a.npz", standardize=standardize)
    assert str(caught.value) == message


@pytest.mark.parametrize("make", [small, one_after_another])
def test_kinds_are_known_from_the_headers_alone(tmp_path, make):
    wanted = {"text": "vector", "audio": "sequence", "image": "image", "words": "tokens"}
    np.savez(tmp_path / "a.npz", **make())
    np.savez_compressed(tmp_path / "b.npz", **make())
    (tmp_path / "folder").mkdir()
    for key, array in make().items():
        np.save(tmp_path / "folder" / f"{key}.npy", array)
    assert [kinds(tmp_path / name) for name in ("a.npz", "b.npz", "folder")] == [wanted] * 3


def test_a_modality_of_a_strange_type_has_no_kind(tmp_path):
    arrays = {"x.a": np.zeros((3, 2), np.float16), "x.b": np.zeros((3, 2), np.uint8), "x.c": np.zeros((3, 2), complex)}
    labels = {"y": np.zeros(3, int), "split": np.arange(3)}
    np.savez(tmp_path / "a.npz", **arrays, **labels)
    with pytest.raises(DataError, match=r"'x\.c' is complex128"):
        kinds(tmp_path / "a.npz")
    del arrays["x.c"]
    np.savez(tmp_path / "a.npz", **arrays, **labels)
    assert kinds(tmp_path / "a.npz") == {"a": "vector", "b": "tokens"}


def test_shapes_are_known_from_the_headers_where_samples_are_padded(tmp_path):
    np.savez(tmp_path / "a.npz", **small())
    assert shapes(tmp_path / "a.npz") == {"text": (2,), "audio": (3, 2), "image": (1, 2, 2), "words": (4,)}
    np.savez(tmp_path / "b.npz", **one_after_another())
    assert shapes(tmp_path / "b.npz") == {"text": (2,)}
    assert shapes(tmp_path / "c.npz") == {}


def test_headers_that_are_malformed_are_said_without_reading_the_arrays(tmp_path):
    np.savez(tmp_path / "strange.npz", **{"x.a": np.zeros(3), "x.b": np.array(["a"]), "y": np.zeros(3)})
    (tmp_path / "text.npz").write_text("no array")
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "a.npz", **small())
    (tmp_path / "torn.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:300])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.a.npy").write_bytes(b"\x93NUMPY")
    assert kinds(tmp_path / "nothing.npz") is None
    for name in ("strange.npz", "text.npz", "empty", "torn.npz", "broken"):
        with pytest.raises(DataError, match=f"^{tmp_path / name} "):
            kinds(tmp_path / name)


@pytest.mark.skipif(not MOSI.exists(), reason="needs the CMU-MOSI features in ../shared/data/cmu_mosi")
def test_the_readmes_ten_lines_convert_cmu_mosi(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(import csv.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "cmu_mosi").symlink_to(MOSI.resolve())
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    data = load("mosi.npz", standardize=True)
    assert {m: s.shape for m, s in data.modalities.items()} == {"text": (100,), "audio": (73,), "video": (100,)}
    assert [len(s) for s in (data.train, data.validation, data.test)] == [1230, 217, 752]
    assert len(data.client_names) == 93
    assert len(np.unique(np.concatenate([data.train.clients, data.validation.clients]))) == 62
    assert len(np.unique(data.test.clients)) == 31
    assert np.bincount(data.test.labels).max() / 752 == pytest.approx(0.621, abs=5e-4)
