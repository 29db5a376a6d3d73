import csv
from pathlib import Path

import layouts
import numpy as np
import pytest
from layouts import AGREED, LENGTH, TWEETS, crisismmd, write_tweets

from raysim import registry
from raysim.data.dataset import DataError
from raysim.datasets.crisismmd import Crisismmd

REAL = Path(__file__).parents[2] / "../shared/data/crisismmd"
PARTS = ("train", "dev", "test")
HARVEY, FLOODS = "hurricane_harvey", "srilanka_floods"
NOT, DAMAGE, VEHICLE, RESCUE, OTHER, AFFECTED, INJURED, MISSING = CLASSES = (
    "not_humanitarian", "infrastructure_and_utility_damage", "vehicle_damage", "rescue_volunteering_or_donation_effort",
    "other_relevant_information", "affected_individuals", "injured_or_dead_people", "missing_or_found_people",
)  # fmt: skip
PAIRS = {
    "train": [
        ("10_0", HARVEY, 'A bridge is gone "near here https://t.co/a1 https://t.co/b2', DAMAGE, OTHER, DAMAGE),
        ("10_1", HARVEY, 'A bridge is gone "near here https://t.co/a1 https://t.co/b2', VEHICLE, OTHER, OTHER),
        ("11_0", FLOODS, '"Help" is on its way http://t.co/c3 #flood', RESCUE, RESCUE, RESCUE),
        ("12_0", FLOODS, "A cat!https://t.co/d4", NOT, NOT, NOT),
    ],
    "dev": [
        ("20_0", HARVEY, "First of dev", AFFECTED, NOT, NOT),
        ("21_0", HARVEY, "Second of dev", NOT, NOT, NOT),
    ],
    "test": [
        ("30_0", FLOODS, "First of test https…", INJURED, NOT, INJURED),
        ("31_0", HARVEY, "Second of test", MISSING, OTHER, OTHER),
    ],
}  # fmt: skip
"""Picture, event, tweet, and the labels of picture, text and pair."""
WAY_OUT = (
    "; get crisismmd from https://crisisnlp.qcri.org/crisismmd "
    "(CrisisMMD_v2.0.tar.gz, crisismmd_datasplit_agreed_label.zip) (CC BY-NC-SA 4.0 and Twitter's terms)"
)


def rows_of(part):
    return [
        (event, name[:2], name, tweet, f"data_image/{event}/1_9_2017/{name}.jpg", pair, text, picture, "Positive")
        for name, event, tweet, picture, text, pair in PAIRS[part]
    ]


def official(root, **layout):
    return crisismmd(root, {part: rows_of(part) for part in PARTS}, **layout)


def table(root, part):
    return root / f"crisismmd_datasplit_all/task_humanitarian_text_img_{part}.tsv"


def index(root, **settings):
    return Crisismmd.index(root, Crisismmd.Settings(**settings))


def prepared(root, folder, **settings):
    features = {"image": {"name": "pixels", "size": 4}, "text": LENGTH}
    return layouts.prepared(Crisismmd, root, folder, features, **settings)


def load(folder):
    return Crisismmd(registry.options(Crisismmd, {"cache": str(folder)})).load()


def real_rows(part):
    path = REAL / AGREED.format(part)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture
def real(tmp_path):
    """The real files of agreed labels, without pictures."""
    if not REAL.is_dir():
        pytest.skip("needs ../shared/data/crisismmd beside the repository: CrisisMMD's tsv files")
    for part in PARTS:
        name = AGREED.format(part)
        (tmp_path / name).symlink_to((REAL / name).resolve())
    (tmp_path / "data_image").mkdir()
    return tmp_path


def by_split(found, values):
    return {s: values[found.split == s] for s in ("train", "validation", "test")}


def test_counts_of_the_real_files(real):
    found = index(real, labels="agreed")
    assert list(found.media) == ["image", "text"]
    assert found.classes == CLASSES
    assert {s: np.bincount(y, minlength=8).tolist() for s, y in by_split(found, found.labels).items()} == {
        "train": [3252, 612, 0, 912, 1279, 71, 0, 0],
        "validation": [521, 80, 0, 149, 239, 9, 0, 0],
        "test": [504, 81, 0, 126, 235, 9, 0, 0],
    }
    names, sizes = np.unique(found.clients[found.split == "train"], return_counts=True)
    assert dict(zip(names.tolist(), sizes.tolist(), strict=True)) == {
        "california_wildfires": 362, "hurricane_harvey": 1483, "hurricane_irma": 1392, "hurricane_maria": 1724,
        "iraq_iran_earthquake": 175, "mexico_earthquake": 428, "srilanka_floods": 562,
    }  # fmt: skip


def test_the_pairs_label_has_all_eight_classes(real):
    found = index(real, labels="agreed", label="pair")
    assert {s: np.bincount(y, minlength=8).tolist() for s, y in by_split(found, found.labels).items()} == {
        "train": [3252, 595, 17, 912, 1279, 47, 22, 2],
        "validation": [521, 78, 2, 149, 239, 8, 1, 0],
        "test": [504, 78, 3, 126, 235, 7, 2, 0],
    }


def test_every_real_picture_has_its_own_tweet_without_urls(real):
    found = index(real, labels="agreed")
    rows = [row for part in PARTS for row in real_rows(part)]
    assert len(rows) == 8079
    assert found.media["image"].items == [real / row["image"] for row in rows]
    texts = found.media["text"].items
    for text, row in zip(texts, rows, strict=True):
        parts = [word.partition("http")[0] for word in row["tweet_text"].split()]
        assert text.split() == [part for part in parts if part]


def test_real_tweets_become_a_dataset(real, tmp_path):
    root = tmp_path / "small"
    rows = {part: [tuple(row.values()) for row in real_rows(part)[:4]] for part in PARTS}
    crisismmd(root, rows, folder="", name=AGREED)
    done = prepared(root, tmp_path / "cache", labels="agreed")
    assert (done.samples, done.skipped) == (12, ())
    data = load(tmp_path / "cache")
    assert [s.labels.tolist() for s in (data.train, data.validation, data.test)] == [
        [1, 1, 1, 1],
        [0, 4, 0, 0],
        [3, 0, 1, 4],
    ]
    assert data.train.inputs["image"][:, 0, 0, 0].tolist() == [250, 230, 210, 190]


def test_a_folder_becomes_a_dataset(tmp_path):
    done = prepared(official(tmp_path / "raw"), tmp_path / "cache")
    assert (done.samples, done.skipped) == (8, ())
    data = load(tmp_path / "cache")
    assert {m: (s.kind, s.shape) for m, s in data.modalities.items()} == {
        "image": ("image", (3, 4, 4)), "text": ("vector", (1,)),
    }  # fmt: skip
    assert data.client_names == ("hurricane_harvey", "srilanka_floods")
    for split, labels, clients, lengths, light in (
        (data.train, [1, 2, 3, 0], [0, 0, 1, 1], [27, 27, 27, 6], [250, 230, 210, 190]),
        (data.validation, [5, 0], [0, 0], [12, 13], [170, 150]),
        (data.test, [6, 7], [1, 0], [13, 14], [130, 110]),
    ):
        assert split.labels.tolist() == labels
        assert split.clients.tolist() == clients
        assert split.inputs["text"][:].tolist() == [[n] for n in lengths]
        assert split.inputs["image"][:, 0, 0, 0].tolist() == light


def test_texts_are_tweets_without_urls(tmp_path):
    assert index(official(tmp_path)).media["text"].items == [
        'A bridge is gone "near here', 'A bridge is gone "near here', '"Help" is on its way #flood', "A cat!",
        "First of dev", "Second of dev", "First of test", "Second of test",
    ]  # fmt: skip


def test_fedmultimodals_mix_up_of_texts(tmp_path):
    right, wrong = index(official(tmp_path)), index(tmp_path, compat="fedmultimodal")
    assert wrong.media["text"].items[:6] == right.media["text"].items[:6]
    assert wrong.media["text"].items[6:] == ["First of dev", "Second of dev"]
    assert wrong.media["image"].items == right.media["image"].items
    assert wrong.labels.tolist() == right.labels.tolist()


@pytest.mark.parametrize(
    ("label", "labels"),
    [
        ("image", [1, 2, 3, 0, 5, 0, 6, 7]),
        ("text", [4, 4, 3, 0, 0, 0, 0, 4]),
        ("pair", [1, 4, 3, 0, 0, 0, 6, 4]),
    ],
)
def test_which_label_is_used(tmp_path, label, labels):
    assert index(official(tmp_path), label=label).labels.tolist() == labels


@pytest.mark.parametrize(
    ("layout", "labels"),
    [
        ({"within": "CrisisMMD_v2.0"}, "all"),
        ({"folder": ""}, "all"),
        ({"folder": "crisismmd_datasplit_agreed_label", "name": AGREED},
         "agreed"),
        ({"folder": "", "name": AGREED}, "agreed"),
    ],
)  # fmt: skip
def test_layouts_of_the_archives(tmp_path, layout, labels):
    found = index(official(tmp_path, **layout), labels=labels)
    home = tmp_path / layout.get("within", "")
    assert found.media["image"].items[0] == home / "data_image/hurricane_harvey/1_9_2017/10_0.jpg"
    assert all(path.is_file() for path in found.media["image"].items)
    assert found.split.tolist() == ["train"] * 4 + ["validation"] * 2 + ["test"] * 2


def test_a_few_corrupt_pictures_are_skipped(tmp_path):
    folder = official(tmp_path / "raw") / "data_image/hurricane_harvey/1_9_2017"
    (folder / "10_1.jpg").write_bytes((folder / "10_1.jpg").read_bytes()[:200])
    (folder / "31_0.jpg").write_bytes(b"no picture")
    done = prepared(tmp_path / "raw", tmp_path / "cache")
    assert done.samples == 6
    assert [line.partition(": no readable image")[0] for line in done.skipped] == [
        f"image: {folder / '10_1.jpg'}", f"image: {folder / '31_0.jpg'}",
    ]  # fmt: skip
    assert load(tmp_path / "cache").train.labels.tolist() == [1, 3, 0]


def test_without_pictures_one_line_says_where_to_get_them(tmp_path):
    root = official(tmp_path / "raw")
    for path in sorted((root / "data_image").rglob("*.jpg")):
        path.unlink()
    with pytest.raises(DataError) as caught:
        prepared(root, tmp_path / "cache")
    some = root / "data_image/hurricane_harvey/1_9_2017/10_0.jpg"
    assert str(caught.value) == f"8 of 8 files of 'image' are missing, such as {some}{WAY_OUT}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: table(r, "dev").unlink(),
         "crisismmd_datasplit_all/task_humanitarian_text_img_dev.tsv does not exist"),
        (lambda r: write_tweets(table(r, "train"), rows_of("train"), TWEETS[:4]),
         "crisismmd_datasplit_all/task_humanitarian_text_img_train.tsv has no column image, label_image"),
        (lambda r: write_tweets(table(r, "train"), [rows_of("train")[0][:5]]),
         "crisismmd_datasplit_all/task_humanitarian_text_img_train.tsv:2: no label_image"),
        (lambda r: write_tweets(table(r, "test"), [(*rows_of("test")[0][:7], "informative", "Positive")]),
         "crisismmd_datasplit_all/task_humanitarian_text_img_test.tsv:2: label_image is 'informative', not one of: "
         f"{', '.join(CLASSES)}"),
        (lambda r: table(r, "train").write_bytes(b"event_name\t\xff"),
         "crisismmd_datasplit_all/task_humanitarian_text_img_train.tsv is not in UTF-8: byte 11 is 0xff"),
        (lambda r: write_tweets(table(r, "train"), []),
         "crisismmd_datasplit_all/task_humanitarian_text_img_train.tsv has no rows"),
        (lambda r: (r / "data_image").rename(r / "images"), "data_image does not exist"),
    ],
)  # fmt: skip
def test_what_is_missing_or_malformed(tmp_path, change, message):
    change(official(tmp_path))
    with pytest.raises(DataError) as caught:
        index(tmp_path)
    assert str(caught.value) == f"{tmp_path}/{message}{WAY_OUT}"


def test_the_mix_up_needs_enough_validation_texts(tmp_path):
    write_tweets(table(official(tmp_path), "dev"), rows_of("dev")[:1])
    with pytest.raises(DataError) as caught:
        index(tmp_path, compat="fedmultimodal")
    assert str(caught.value) == f"{tmp_path}: compat needs at least as many validation pairs as test pairs{WAY_OUT}"
