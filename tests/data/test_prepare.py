import csv
import dataclasses
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from raysim.data.cache import cache_folder
from raysim.data.dataset import DataError
from raysim.data.extraction import here
from raysim.data.extractor import Extractor
from raysim.data.manifest import MANIFEST, damaged, manifest
from raysim.data.media import image
from raysim.data.prepare import LOCK, PARTS, PLAN, Prepared, prepare
from raysim.data.recipe import About, Index, Medium, Recipe, numbered
from raysim.data.summary import summary
from raysim.disk import hold
from raysim.features.pixels import Pixels

WAY_OUT = "; get test_prepare from https://example.org (CC0)"
ROWS = (
    ("ab", "1 2", "a.png", "no", "train", "x"),
    ("c", "3 4", "b.png", "yes", "train", "y"),
    ("ab", "5 6", "a.png", "yes", "train", "x"),
    ("", "7 8", "c.png", "no", "test", "y"),
    ("def", "", "a.png", "yes", "test", "z"),
)
LEVELS = {"a.png": 1, "b.png": 2, "c.png": 3}


class Tiny(Recipe):
    """Text, array, file of an image, class, split and client, in a csv file."""

    class Settings(Recipe.Settings):
        """The class that counts from 0."""

        first: str = "no"

    about = About("https://example.org", "CC0", ("table.csv", "*.png"))
    features: ClassVar = {"text": (), "array": (), "image": ()}

    @classmethod
    def index(cls, root, settings):
        with cls.need(root, "table.csv").open(newline="") as file:
            texts, arrays, images, classes, split, clients = zip(*csv.reader(file), strict=True)
        names = (settings.first, *(c for c in ("no", "yes") if c != settings.first))
        return Index(
            media={
                "text": Medium("text", [t or None for t in texts]),
                "array": Medium("array", [np.array(a.split(), np.float32) if a else None for a in arrays]),
                "image": Medium("image", [root / name if name else None for name in images], image),
            },
            labels=numbered(classes, names),
            classes=names,
            split=np.array(split),
            clients=np.array(clients),
        )


class Counting(Extractor):
    """Remembers what it was asked."""

    chunk = 2

    def __init__(self, options=None):
        super().__init__(options or self.Options())
        self.asked = []


class Letters(Counting):
    """(T, 1): a number for each letter; remembers what it learns from."""

    reads = "text"
    fitted = None

    class Options(Extractor.Options):
        base: int = 96

    def fit(self, items):
        self.fitted = list(items)

    def extract(self, media):
        self.asked.append(list(media))
        return [np.array([[ord(c) - self.options.base] for c in text], np.float32) for text in media]


class Same(Counting):
    reads = "array"

    def extract(self, media):
        self.asked.append([a.tolist() for a in media])
        return list(media)


class Grey(Counting):
    """(1, H, W)."""

    reads = "image"

    def extract(self, media):
        self.asked.append([p.getpixel((0, 0))[0] for p in media])
        return Pixels(Pixels.Options(color="grey")).extract(media)


def write(root, rows=ROWS):
    """The official layout: pictures of one colour, two pixels wide."""
    root.mkdir(exist_ok=True)
    with (root / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    for name in {row[2] for row in rows if row[2]}:
        Image.new("L", (2, 1), LEVELS.get(name, 9)).save(root / name)
    return root


def many(count, bad=0):
    """Rows with a picture each."""
    return [("a", "1 2", f"{i}.png", "no", "test" if i % 2 else "train", "x") for i in range(count)]


def extractors(**others):
    return {"text": Letters(), "array": Same(), "image": Grey(), **others}


def run(root, folder, made=None, *, mapper=here, progress=lambda *_: None, **settings):
    return prepare(
        Tiny, root, folder, settings=Tiny.Settings(**settings), extractors=made or extractors(), mapper=mapper,
        progress=progress,
    )  # fmt: skip


def arrays(folder):
    return {p.stem: np.load(p, allow_pickle=False) for p in folder.glob("*.npy")}


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != LOCK}


def stopping(after):
    """A mapper that is interrupted before the part of that number."""
    done = []

    def mapper(work, chunks):
        for numbered_part in here(work, chunks):
            if len(done) == after:
                raise KeyboardInterrupt
            done.append(numbered_part)
            yield numbered_part

    return mapper


def error(*arguments, **more):
    with pytest.raises(DataError) as caught:
        run(*arguments, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_arrays_are_written_in_the_layout_of_arrays(tmp_path):
    assert run(write(tmp_path / "raw"), tmp_path / "cache") == Prepared(5, ())
    found = arrays(tmp_path / "cache")
    assert {key: a.tolist() for key, a in found.items()} == {
        "x.text": [[1], [2], [3], [4], [5], [6]],
        "span.text": [[0, 2], [2, 3], [0, 2], [0, 0], [3, 6]],
        "present.text": [True, True, True, False, True],
        "x.array": [[1, 2], [3, 4], [5, 6], [7, 8], [0, 0]],
        "present.array": [True, True, True, True, False],
        "x.image": [[[[1, 1]]], [[[2, 2]]], [[[1, 1]]], [[[3, 3]]], [[[1, 1]]]],
        "y": [0, 1, 1, 0, 1],
        "split": ["train", "train", "train", "test", "test"],
        "classes": ["no", "yes"],
        "client": ["x", "y", "x", "y", "z"],
    }
    assert [found[key].dtype for key in ("x.text", "x.image", "y")] == [np.float32, np.uint8, np.int64]
    assert sorted(p.name for p in (tmp_path / "cache").iterdir() if p.suffix != ".npy") == [LOCK, MANIFEST]


def test_what_was_prepared_can_be_loaded(tmp_path):
    run(write(tmp_path / "raw"), tmp_path / "cache")
    recipe = Tiny(Tiny.Options(cache=str(tmp_path / "cache"), validation=0.34))
    data = recipe.load()
    assert recipe.kinds() == {"array": "vector", "image": "image", "text": "sequence"}
    assert (data.classes, data.client_names) == (("no", "yes"), ("x", "y", "z"))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [2, 1, 2]
    assert data.test.present["array"].tolist() == [True, False]
    assert data.test.inputs["text"].padded(3)[..., 0].tolist() == [[0, 0, 0], [4, 5, 6]]


def test_equal_items_are_extracted_once_in_chunks(tmp_path):
    made = extractors()
    run(write(tmp_path / "raw"), tmp_path / "cache", made)
    assert made["text"].asked == [["ab", "c"], ["def"]]
    assert made["image"].asked == [[1, 2], [3]]
    assert made["array"].asked == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]


def test_extractors_learn_from_the_training_items(tmp_path):
    made = extractors()
    run(write(tmp_path / "raw"), tmp_path / "cache", made)
    assert made["text"].fitted == ["ab", "c"]


def test_the_manifest_names_what_was_wished_and_every_file(tmp_path):
    run(write(tmp_path / "raw"), tmp_path / "cache", first="yes")
    found = manifest(tmp_path / "cache")
    sums, features = found.pop("files"), found.pop("features")
    assert found == {"dataset": "test_prepare", "settings": {"first": "yes"}, "samples": 5, "skipped": []}
    assert [(m, sorted(f)) for m, f in features.items()] == [
        ("text", ["base", "name"]), ("array", ["name"]), ("image", ["name"]),
    ]  # fmt: skip
    assert features["text"]["base"] == 96
    assert {f"{key}.npy" for key in arrays(tmp_path / "cache")} == sums.keys()
    assert sums["y.npy"]["bytes"] == (tmp_path / "cache" / "y.npy").stat().st_size
    assert damaged(tmp_path / "cache") == []


def test_a_codec_is_kept(tmp_path):
    class Coded(Letters):
        codec = '{"a tokenizer": 1}'

        def extract(self, media):
            return [np.arange(len(text)) for text in media]

    run(write(tmp_path / "raw"), tmp_path / "cache", extractors(text=Coded()))
    found = arrays(tmp_path / "cache")
    assert str(found["codec.text"]) == '{"a tokenizer": 1}'
    assert (found["x.text"].tolist(), found["x.text"].dtype) == ([0, 1, 0, 0, 1, 2], np.int64)


def test_progress_is_told(tmp_path):
    told = []
    run(write(tmp_path / "raw"), tmp_path / "cache", progress=lambda *now: told.append(now))
    assert told == [
        ("text", 0, 3), ("text", 2, 3), ("text", 3, 3),
        ("array", 0, 4), ("array", 2, 4), ("array", 4, 4),
        ("image", 0, 3), ("image", 2, 3), ("image", 3, 3),
    ]  # fmt: skip


def test_a_mapper_works_where_extraction_takes_long(tmp_path):
    class Fast(Same):
        parallel = False

    asked = []

    def mapper(work, chunks):
        asked.append(type(work.extractor))
        return here(work, chunks)

    run(write(tmp_path / "raw"), tmp_path / "cache", extractors(array=Fast()), mapper=mapper)
    assert asked == [Letters, Grey]


# What cannot be read.


def test_samples_with_an_unreadable_item_are_left_out_and_counted(tmp_path):
    root = write(tmp_path / "raw")
    (root / "a.png").unlink()
    assert run(root, tmp_path / "cache") == Prepared(2, (f"image: {root / 'a.png'}: missing",))
    found = arrays(tmp_path / "cache")
    assert {key: a.tolist() for key, a in found.items() if key not in ("classes", "split")} == {
        "x.text": [[1], [2], [3], [4], [5], [6]],
        "span.text": [[2, 3], [0, 0]],
        "present.text": [True, False],
        "x.array": [[3, 4], [7, 8]],
        "x.image": [[[[2, 2]]], [[[3, 3]]]],
        "y": [1, 0],
        "client": ["y", "y"],
    }
    assert manifest(tmp_path / "cache")["skipped"] == [f"image: {root / 'a.png'}: missing"]


def test_a_chunk_may_be_unreadable_as_a_whole(tmp_path):
    root = write(tmp_path / "raw", many(3))
    (root / "2.png").unlink()
    assert run(root, tmp_path / "cache").samples == 2
    assert arrays(tmp_path / "cache")["x.image"].shape == (2, 1, 1, 2)


def test_a_modality_that_no_sample_has_is_one_line(tmp_path):
    root = write(tmp_path / "raw", [("a", "1 2", "", *row[3:]) for row in ROWS])
    assert error(root, tmp_path / "cache") == f"{root} has no sample with the modality 'image'{WAY_OUT}"


def test_what_cannot_be_read_is_not_learnt_from(tmp_path):
    class Learning(Grey):
        def fit(self, items):
            self.fitted = [picture.getpixel((0, 0))[0] for picture in items]

    root, learning = write(tmp_path / "raw"), Learning()
    (root / "a.png").unlink()
    assert run(root, tmp_path / "cache", extractors(image=learning)).samples == 2
    assert learning.fitted == [2]


@pytest.mark.parametrize(("count", "few"), [(10, 3), (80, 4)])
def test_a_few_files_may_be_missing(tmp_path, count, few):
    root = write(tmp_path / "raw", many(count))
    for i in range(few):
        (root / f"{2 * i}.png").unlink()
    assert run(root, tmp_path / "cache").samples == count - few
    (root / f"{2 * few}.png").unlink()
    assert error(root, tmp_path / "other") == (
        f"{few + 1} of {count} files of 'image' are missing, such as {root / '0.png'}{WAY_OUT}"
    )


@pytest.mark.parametrize(("count", "few"), [(10, 3), (80, 4)])
def test_a_few_files_may_be_broken(tmp_path, count, few):
    root = write(tmp_path / "raw", many(count))
    for i in range(few):
        (root / f"{2 * i}.png").write_bytes(b"")
    done = run(root, tmp_path / "cache")
    assert (done.samples, len(done.skipped)) == (count - few, few)
    assert done.skipped[0].startswith(f"image: {root / '0.png'}: no readable image: ")
    (root / f"{2 * few}.png").write_bytes(b"")
    message = error(root, tmp_path / "other")
    assert message.startswith(
        f"{few + 1} of {count} files cannot be read, such as image: {root / '0.png'}: no readable image: "
    )
    assert message.endswith(WAY_OUT)
    assert not (tmp_path / "other" / MANIFEST).exists()


def test_what_could_not_be_read_is_read_again_by_the_next_run(tmp_path):
    root = write(tmp_path / "raw", many(10))
    whole = {path: path.read_bytes() for path in root.glob("*.png")}
    for path in whole:
        path.write_bytes(b"")
    assert "10 of 10 files cannot be read" in error(root, tmp_path / "cache")
    for path, content in whole.items():
        path.write_bytes(content)
    done = run(root, tmp_path / "cache")
    assert (done.samples, done.skipped) == (10, ())


def test_no_sample_is_left(tmp_path):
    root = write(tmp_path / "raw", many(2))
    for path in root.glob("*.png"):
        path.unlink()
    assert error(root, tmp_path / "cache") == f"{root} has no test sample whose files can all be read{WAY_OUT}"


def test_a_missing_official_file_leaves_nothing_behind(tmp_path):
    (tmp_path / "raw").mkdir()
    assert error(tmp_path / "raw", tmp_path / "cache") == f"{tmp_path}/raw/table.csv does not exist{WAY_OUT}"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("row", [1, 3], ids=["in one chunk", "in another"])
def test_features_of_unlike_shapes_are_one_line(tmp_path, row):
    rows = [list(r) for r in ROWS]
    rows[row][1] = "1 2 3"
    message = error(write(tmp_path / "raw", rows), tmp_path / "cache")
    assert message == "features differ in shape, (2,) and (3,); give the extractor a size"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": np.array(["train"] * 4)}, "labels has 5 samples, but split has 4"),
        ({"clients": np.array(["x"] * 6)}, "labels has 5 samples, but clients has 6"),
        ({"media": {"text": Medium("text", ["a"] * 3)}}, "labels has 5 samples, but text has 3"),
        ({"labels": np.array([0, 1, 2, 0, 1])}, "the label 2 is none of 2 classes, which count from 0"),
        ({"labels": np.array([0, 1, -1, 0, 1])}, "the label -1 is none of 2 classes, which count from 0"),
        ({"labels": np.zeros((5, 3), int)}, "labels has shape (5, 3), but there are 2 classes"),
        ({"split": np.array(["train"] * 5)}, "split has no test"),
        ({"split": np.array(["test"] * 5)}, "split has no train"),
    ],
    ids=["split", "clients", "items", "class", "negative", "several", "no test", "no train"],
)
def test_an_index_that_does_not_fit_together_is_one_line(tmp_path, monkeypatch, change, message):
    found = dataclasses.replace(Tiny.index(write(tmp_path / "raw"), Tiny.Settings()), **change)
    monkeypatch.setattr(Tiny, "index", lambda root, settings: found)
    assert error(tmp_path / "raw", tmp_path / "cache") == f"{tmp_path}/raw: {message}{WAY_OUT}"


def test_an_extractor_of_another_medium_is_one_line(tmp_path):
    message = error(write(tmp_path / "raw"), tmp_path / "cache", extractors(text=Grey()))
    assert message.startswith("'text' is text, but ")
    assert message.endswith(" reads image; choose another extractor with --features")


# Going on.


@pytest.mark.parametrize(
    ("after", "left"),
    [
        (0, ([["ab", "c"], ["def"]], [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], [[1, 2], [3]])),
        (1, ([["def"]], [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], [[1, 2], [3]])),
        (3, ([], [[[5, 6], [7, 8]]], [[1, 2], [3]])),
        (5, ([], [], [[3]])),
    ],
)
def test_a_preparation_that_was_stopped_goes_on_where_it_was(tmp_path, after, left):
    root, folder = write(tmp_path / "raw"), tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        run(root, folder, mapper=stopping(after))
    assert not (folder / MANIFEST).exists()
    made = extractors()
    assert run(root, folder, made) == Prepared(5, ())
    assert tuple(made[m].asked for m in ("text", "array", "image")) == left
    run(root, tmp_path / "undisturbed")
    assert files(folder) == files(tmp_path / "undisturbed")


def test_a_torn_part_is_done_again(tmp_path):
    root, folder = write(tmp_path / "raw"), tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        run(root, folder, mapper=stopping(5))
    torn = folder / PARTS / "text-2.npz"
    torn.write_bytes(torn.read_bytes()[:-30])
    made = extractors()
    run(root, folder, made)
    assert (made["text"].asked, made["array"].asked, made["image"].asked) == ([["def"]], [], [[3]])
    run(root, tmp_path / "undisturbed")
    assert files(folder) == files(tmp_path / "undisturbed")


def test_a_preparation_that_was_stopped_before_the_manifest_goes_on(tmp_path, monkeypatch):
    root, folder = write(tmp_path / "raw"), tmp_path / "cache"
    with monkeypatch.context() as patch:
        patch.setattr("raysim.data.prepare.settle", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(root, folder)
    made = extractors()
    run(root, folder, made)
    assert [e.asked for e in made.values()] == [[], [], []]
    run(root, tmp_path / "undisturbed")
    assert files(folder) == files(tmp_path / "undisturbed")


def stopped(*_):
    raise KeyboardInterrupt


def test_what_was_prepared_is_not_prepared_again(tmp_path):
    root, folder = write(tmp_path / "raw"), tmp_path / "cache"
    (root / "b.png").unlink()
    run(root, folder)
    before, made = files(folder), extractors()
    done = run(tmp_path / "nowhere", folder, made)
    assert done == Prepared(4, (f"image: {root / 'b.png'}: missing",), fresh=False)
    assert [e.asked for e in made.values()] == [[], [], []]
    assert made["text"].fitted is None
    assert files(folder) == before


class Capitals(Letters):
    """Another one in the same file."""


OTHER = [
    ({"first": "yes"}, None, 'settings {"first": "no"}, not {"first": "yes"}'),
    ({}, Letters(Letters.Options(base=0)), 'features {"text": {"name": '),
    ({}, Capitals(), 'features {"text": {"name": '),
]


@pytest.mark.parametrize("half", [True, False], ids=["begun", "prepared"])
@pytest.mark.parametrize(("settings", "letters", "what"), OTHER, ids=["settings", "options", "class"])
def test_a_folder_of_something_else_is_refused(tmp_path, half, settings, letters, what):
    root, folder = write(tmp_path / "raw"), tmp_path / "cache"
    if half:
        with pytest.raises(KeyboardInterrupt):
            run(root, folder, mapper=stopping(1))
    else:
        run(root, folder)
    message = error(root, folder, extractors(text=letters or Letters()), **settings)
    assert message.startswith(f"{folder} was prepared with {what}")
    assert message.endswith("; give another --cache, or remove it")


@pytest.mark.parametrize(
    "rows",
    [ROWS[:4], [("ax", *row[1:]) for row in ROWS], [(row[0], "1 9", *row[2:]) for row in ROWS], ROWS[::-1]],
    ids=["fewer", "texts", "arrays", "order"],
)
def test_a_preparation_does_not_go_on_with_other_samples(tmp_path, rows):
    folder = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        run(write(tmp_path / "raw"), folder, mapper=stopping(1))
    message = error(write(tmp_path / "other", rows), folder)
    assert message.startswith(f"{folder} was prepared with items ")
    assert message.endswith("; give another --cache, or remove it")


def test_a_preparation_goes_on_where_the_official_files_have_moved(tmp_path):
    folder, made = tmp_path / "cache", extractors()
    with pytest.raises(KeyboardInterrupt):
        run(write(tmp_path / "raw"), folder, mapper=stopping(5))
    (tmp_path / "raw").rename(tmp_path / "other")
    assert run(tmp_path / "other", folder, made) == Prepared(5, ())
    assert [e.asked for e in made.values()] == [[], [], [[3]]]


def test_two_preparations_of_one_folder_do_not_mix(tmp_path):
    root, folder = write(tmp_path / "raw"), tmp_path / "cache"
    folder.mkdir()
    with hold(folder / LOCK):
        assert error(root, folder) == (
            f"{folder} is being prepared by another process; wait for it, or give another --cache"
        )
    assert run(root, folder).fresh


def test_a_preparation_that_another_process_finished_meanwhile_is_not_touched(tmp_path, monkeypatch):
    root, folder, index = write(tmp_path / "raw"), tmp_path / "cache", Tiny.index

    def late(root, settings):
        monkeypatch.setattr(Tiny, "index", index)
        run(root, folder)
        return index(root, settings)

    monkeypatch.setattr(Tiny, "index", late)
    made = extractors()
    assert run(root, folder, made) == Prepared(5, (), fresh=False)
    assert [e.asked for e in made.values()] == [[], [], []]


@pytest.mark.parametrize("spoil", ["", "[]", '{"files": 3}'])
def test_a_plan_that_is_damaged_is_one_line(tmp_path, spoil):
    root, folder = write(tmp_path / "raw"), tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        run(root, folder, mapper=stopping(1))
    (folder / PARTS / PLAN).write_text(spoil)
    assert (
        error(root, folder) == f"{folder / PARTS / PLAN} is damaged; remove {folder} and run raysim data prepare again"
    )


# What a prepared folder says of itself.


def test_changed_and_missing_files_are_found(tmp_path):
    folder = tmp_path / "cache"
    run(write(tmp_path / "raw"), folder)
    content = bytearray((folder / "x.array.npy").read_bytes())
    content[-1] ^= 1
    (folder / "x.array.npy").write_bytes(content)
    (folder / "client.npy").unlink()
    (folder / "y.npy").write_bytes((folder / "y.npy").read_bytes() + b"\0")
    assert sorted(damaged(folder)) == [
        f"{folder}/client.npy is missing",
        f"{folder}/x.array.npy has changed since it was prepared",
        f"{folder}/y.npy has changed since it was prepared",
    ]


@pytest.mark.parametrize("ask", [manifest, damaged, summary])
def test_a_folder_without_a_manifest_is_not_prepared(tmp_path, ask):
    with pytest.raises(DataError) as caught:
        ask(tmp_path)
    assert str(caught.value) == f"{tmp_path} is not prepared: there is no prepared.json; run raysim data prepare"


@pytest.mark.parametrize("content", ['{"dataset": ', "", "[]", "{}"])
@pytest.mark.parametrize("ask", [manifest, damaged, summary])
def test_a_manifest_that_is_none_is_one_line(tmp_path, ask, content):
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(DataError) as caught:
        ask(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/prepared.json is damaged; remove {tmp_path} and run raysim data prepare again"
    )


SUMMARY = """\
class    train  test
no           1     1
yes          2     1
samples      3     2

text: TEXT, 1 to 3 steps of 1, float32, absent in 1 samples
array: ARRAY, float32 (2,), absent in 1 samples
image: IMAGE, uint8 (1, 1, 2)

3 natural clients, 2 of them with 1 to 2, median 1.5 training samples:
client  train  test
x           2     0
y           1     1
z           0     1"""


def test_a_summary(tmp_path):
    run(write(tmp_path / "raw"), tmp_path / "cache")
    wanted = SUMMARY
    for name, feature in manifest(tmp_path / "cache")["features"].items():
        wanted = wanted.replace(name.upper(), feature["name"])
    assert summary(tmp_path / "cache") == wanted


def test_a_summary_shows_the_largest_clients(tmp_path):
    rows = [("a", "1 2", "a.png", "no", "train", f"c{i % 13:02}") for i in range(20)]
    run(write(tmp_path / "raw", [*rows, ("a", "1 2", "a.png", "no", "test", "c12")]), tmp_path / "cache")
    head, *lines = summary(tmp_path / "cache").splitlines()[-14:]
    assert head == "13 natural clients, 13 of them with 1 to 2, median 2 training samples; the largest 12:"
    assert lines[:2] + lines[-1:] == ["client  train  test", "c00         2     0", "c10         1     0"]


# A recipe.


def test_a_recipe_that_is_not_prepared_says_how(tmp_path):
    recipe = Tiny(Tiny.Options(cache=str(tmp_path / "a")))
    with pytest.raises(DataError) as caught:
        recipe.load()
    assert str(caught.value) == (
        f"{__name__}:Tiny is not prepared in {tmp_path}/a; run: raysim data prepare {__name__}:Tiny --root DIR"
    )
    assert recipe.kinds() is None


def test_a_preparation_that_was_stopped_is_not_loaded(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(write(tmp_path / "raw"), tmp_path / "cache", mapper=stopping(3))
    with pytest.raises(DataError, match="test_prepare:Tiny is not prepared in"):
        Tiny(Tiny.Options(cache=str(tmp_path / "cache"))).load()


def test_where_a_recipe_is_prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RAYSIM_CACHE", raising=False)
    assert Tiny(Tiny.Options()).folder == tmp_path / "home" / ".cache" / "raysim" / "test_prepare"
    monkeypatch.setenv("RAYSIM_CACHE", str(tmp_path))
    assert Tiny(Tiny.Options()).folder == cache_folder("test_prepare") == tmp_path / "test_prepare"
    assert Tiny(Tiny.Options(cache="there")).folder.name == "there"


def test_numbers_of_names():
    found = numbered(["b", "a", "b"], ("a", "b"))
    assert (found.tolist(), found.dtype) == ([1, 0, 1], np.int64)
