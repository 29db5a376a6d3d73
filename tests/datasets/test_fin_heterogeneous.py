import io
import json

import numpy as np
import pytest
from PIL import Image

from raysim import registry
from raysim.data.dataset import DataError
from raysim.data.ragged import Pictures, Ragged
from raysim.datasets.fin_heterogeneous import FinHeterogeneous

SPLIT = np.repeat(["train", "validation", "test"], [8, 2, 2])
CLIENT = np.array(["a", "a", "b", "b", "b", "c", "d", "d", "e", "e", "f", "f"])
"""Of 8, 2 and 2 samples; four patients to train on."""
FEATURES = {"image": {"name": "pixels", "size": 1}, "text": {"name": "tokens", "tokenizer": "one"}}
START = {"mimic_cxr": 0, "chexpert": 50, "openi": 100}
"""The pixel of each dataset's first sample; the others follow."""


def tokenizer(*words):
    vocabulary = {word: i for i, word in enumerate(("<unk>", *words))}
    return json.dumps({"version": "1.0", "added_tokens": [],
                       "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"}})  # fmt: skip


CODEC = tokenizer(*map(str, range(1, 150)))


def arrays(name, steps=2):
    """A pixel a sample; a text of two tokens, the pixel's value and 1. Open-I's samples 0 and 3 have no text."""
    shades = START[name] + np.arange(12)
    found = {
        "x.image": shades[:, None, None, None].astype(np.uint8), "y": np.eye(14, dtype=np.uint8)[shades % 14],
        "split": SPLIT, "client": CLIENT, "classes": np.array([f"label {i}" for i in range(14)]),
    }  # fmt: skip
    if name != "chexpert":
        found["x.text"] = np.zeros((12, steps), dtype=np.int64)
        found["x.text"][:, :2] = np.stack([shades, np.ones(12)], axis=1)
        found |= {"length.text": np.full(12, 2), "codec.text": np.array(CODEC)}
    if name == "openi":
        found["present.text"] = np.isin(np.arange(12), (0, 3), invert=True)
    return found


def ragged(found):
    """The same, texts one after another."""
    spans = np.where(found.get("present.text", np.ones(12, bool))[:, None], [[2 * i, 2 * i + 2] for i in range(12)], 0)
    rest = {k: v for k, v in found.items() if k not in ("x.text", "length.text")}
    return {**rest, "x.text": found["x.text"][:, :2].reshape(-1), "span.text": spans}


def files(found):
    """The same, pixels as PNG files one after another."""
    out = io.BytesIO()
    ends = [0]
    for pixel in found["x.image"][:, 0]:
        Image.fromarray(pixel).save(out, "PNG")
        ends.append(out.tell())
    return {
        **found,
        "x.image": np.frombuffer(out.getvalue(), np.uint8),
        "span.image": np.stack([ends[:-1], ends[1:]], 1),
    }


def write(root, name, found, features=FEATURES):
    folder = root / name
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.npy"):
        path.unlink()
    for key, array in found.items():
        np.save(folder / f"{key}.npy", array)
    used = {m: f for m, f in features.items() if f"x.{m}" in found}
    (folder / "prepared.json").write_text(json.dumps({"features": used}))


def prepared(root, change=dict):
    for name in START:
        write(root, name, change(arrays(name)))
    return root


def load(root, **options):
    small = {"chexpert_clients": 2, "chexpert_patients": 2, "openi_clients": 2, "openi_samples": 3}
    folders = {name: str(root / name) for name in START}
    return FinHeterogeneous(registry.options(FinHeterogeneous, {**small, **folders, **options})).load()


def pixels(split):
    x = split.inputs["image"]
    return (x.decoded() if isinstance(x, Pictures) else x).reshape(-1).tolist()


def owned(data):
    return [[p for p, c in zip(pixels(data.train), data.train.clients, strict=True) if c == k]
            for k in range(len(data.client_names))]  # fmt: skip


def test_patients_are_dealt_out_and_mimic_validates(tmp_path):
    data = load(prepared(tmp_path))
    assert data.client_names == ("chexpert0", "chexpert1", "openi0", "openi1")
    assert owned(data) == [[50, 51, 55], [52, 53, 54, 56, 57], [100, 106, 107], [102, 103, 105]]
    assert (pixels(data.validation), pixels(data.test)) == ([8, 9], [10, 11])
    assert data.train.labels.argmax(axis=1).tolist() == [p % 14 for p in pixels(data.train)]
    assert {m: (spec.kind, spec.shape, spec.vocabulary) for m, spec in data.modalities.items()} == {
        "image": ("image", (1, 1, 1), None), "text": ("tokens", (2,), 150),
    }  # fmt: skip
    assert (data.multi_label, data.classes[13], data.validation.clients) == (True, "label 13", None)


@pytest.mark.parametrize("change", [dict, ragged])
def test_texts_are_absent_at_chexpert(tmp_path, change):
    prepared(tmp_path)
    write(tmp_path, "openi", change(arrays("openi", steps=4)))
    data = load(tmp_path)
    there = data.train.present["text"]
    assert there.tolist() == [False] * 9 + [True, True, True, False, True]
    assert data.train.present["image"].all()
    assert data.validation.present["text"].tolist() == [True, True]
    text = data.train.inputs["text"]
    assert isinstance(text, Ragged)
    assert text[there].padded(3).tolist() == [[106, 1, 0], [107, 1, 0], [102, 1, 0], [105, 1, 0]]
    assert data.train.lengths["text"].tolist() == [1] * 9 + [2, 2, 2, 1, 2]
    assert data.test.inputs["text"].padded(2).tolist() == [[10, 1], [11, 1]]
    assert data.modalities["text"].shape == (4 if change is dict else 2,)


def test_image_files_are_kept_as_they_are(tmp_path):
    data = load(prepared(tmp_path, files))
    assert isinstance(data.train.inputs["image"], Pictures)
    assert owned(data) == [[50, 51, 55], [52, 53, 54, 56, 57], [100, 106, 107], [102, 103, 105]]
    assert len(data.validation.inputs["image"].values) == data.validation.inputs["image"].lengths.sum()


def test_vectors(tmp_path):
    for name in START:
        found = arrays(name)
        found["x.image"] = found["x.image"].reshape(12, 1).astype(np.float32)
        if name != "chexpert":
            found = {**{k: v for k, v in found.items() if not k.endswith(".text")}, "x.text": found["x.image"] + 0.5}
        write(tmp_path, name, found)
    data = load(tmp_path)
    assert data.train.inputs["text"].reshape(-1).tolist() == [0] * 8 + [100.5, 106.5, 107.5, 102.5, 103.5, 105.5]
    assert data.train.present["text"].tolist() == [False] * 8 + [True] * 6
    assert (data.train.inputs["text"].dtype, data.train.lengths) == (np.float32, {})


def test_another_seed_deals_otherwise(tmp_path):
    assert owned(load(prepared(tmp_path), seed=1)) != owned(load(tmp_path))


def test_papers_numbers_are_the_defaults():
    options = registry.options(FinHeterogeneous, {})
    numbers = (options.chexpert_clients, options.chexpert_patients, options.openi_clients, options.openi_samples)
    assert numbers == (8, 900, 2, 1116)


def test_the_usual_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYSIM_CACHE", str(tmp_path))
    assert FinHeterogeneous(registry.options(FinHeterogeneous, {})).kinds() is None
    prepared(tmp_path)
    source = FinHeterogeneous(registry.options(FinHeterogeneous, {"chexpert_patients": 1, "chexpert_clients": 4,
                                                                  "openi_samples": 3}))  # fmt: skip
    assert source.kinds() == {"image": "image", "text": "tokens"}
    assert len(source.load().train) == 14


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chexpert_patients": 3},
         "chexpert has 4 training patients, 2 clients of 3 are asked for; lower chexpert_patients or chexpert_clients"),
        ({"openi_samples": 5},
         "openi has 8 training samples, 2 clients of 5 are asked for; lower openi_samples or openi_clients"),
    ],
)  # fmt: skip
def test_too_few_patients(tmp_path, options, message):
    prepared(tmp_path)
    with pytest.raises(DataError) as caught:
        load(tmp_path, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "found", "features", "message"),
    [
        ("openi", {}, {**FEATURES, "text": {"name": "bert"}},
         "differ in the features of 'text': {'name': 'tokens', 'tokenizer': 'one'} and {'name': 'bert'}; "
         "prepare both with the same --features"),
        ("chexpert", {"x.image": np.zeros((12, 1, 2, 1), np.uint8)}, FEATURES,
         "differ in 'image': image uint8 (1, 1, 1) and image uint8 (1, 2, 1); prepare both with the same --features"),
        ("chexpert", {"x.image": np.zeros((12, 3), np.float32)}, FEATURES,
         "differ in 'image': image uint8 (1, 1, 1) and vector float32 (3,); prepare both with the same --features"),
        ("openi", {"codec.text": np.array(tokenizer(*map(str, range(1, 151))))}, FEATURES,
         "have different vocabularies of 'text'; prepare both with one tokenizer, such as --features "
         "'text={name: tokens, tokenizer: bert-base-uncased}'"),
        ("openi", {"classes": np.array(["sick", "well"]), "y": np.zeros((12, 2), np.uint8)}, FEATURES,
         "differ in the labels: " + str(tuple(f"label {i}" for i in range(14))) + " and ('sick', 'well')"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together(tmp_path, name, found, features, message):
    prepared(tmp_path)
    write(tmp_path, name, {**arrays(name), **found}, features)
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{tmp_path}/mimic_cxr and {tmp_path}/{name} {message}"


def test_what_is_not_prepared(tmp_path):
    prepared(tmp_path)
    (tmp_path / "openi/prepared.json").unlink()
    with pytest.raises(DataError, match=r"openi is not prepared: there is no prepared\.json; run raysim data prepare$"):
        load(tmp_path)


def test_without_patients(tmp_path):
    prepared(tmp_path)
    write(tmp_path, "chexpert", {k: v for k, v in arrays("chexpert").items() if k != "client"})
    with pytest.raises(DataError, match=r"chexpert names no patients; prepare chexpert again$"):
        load(tmp_path)
