import shutil
from pathlib import Path

import numpy as np
import pytest
from layouts import CUB, cub, prepared

from raysim import registry
from raysim.data.codec import Codec
from raysim.data.dataset import DataError
from raysim.datasets.cub import Cub

CAPTIONS = Path(__file__).parents[2] / "../shared/data/cub_captions/text_testclasses.txt"
WAY_OUT = (
    "; get cub from https://www.vision.caltech.edu/datasets/cub_200_2011/ and, for the captions "
    "(cvpr2016_cub.tar.gz), https://github.com/reedscot/cvpr2016 (for non-commercial research)"
)


def caption(photo, number):
    return f"bird p{photo} has caption {number}."


def official(root, folder="text_c10"):
    return cub(root, [caption(photo, i) for photo in range(1, 7) for i in range(10)], folder)


def index(root, **settings):
    return Cub.index(root, Cub.Settings(**settings))


@pytest.mark.parametrize("captions", ["text_c10", "cvpr2016_cub/text_c10"])
def test_a_sample_is_a_photograph_with_one_of_its_captions(tmp_path, captions):
    found = index(official(tmp_path, captions), captions=2)
    assert found.media["text"].items[:3] == [caption(1, 0), caption(1, 1), caption(2, 0)]
    assert [p.stem for p in found.media["image"].items[:3]] == ["Bird_1", "Bird_1", "Bird_2"]
    assert found.labels.tolist() == [1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0]
    assert (found.classes, found.clients) == (("Black footed Albatross", "Laysan Albatross"), None)


def test_all_captions_of_a_photograph_are_in_one_split(tmp_path):
    official(tmp_path)
    splits = [index(tmp_path, validation=0.5, seed=seed).split.reshape(6, 10) for seed in (0, 0, 1)]
    for split in splits:
        assert (split == split[:, :1]).all()
        assert [s == "test" for s in split[:, 0]] == [False, False, True, False, True, False]
        assert (split[:, 0] == "validation").sum() == 2
    assert splits[0][:, 0].tolist() == splits[1][:, 0].tolist() != splits[2][:, 0].tolist()


def test_it_is_prepared_and_read(tmp_path):
    assert prepared(Cub, official(tmp_path / "root"), tmp_path / "cache").samples == 60
    data = Cub(registry.options(Cub, {"cache": str(tmp_path / "cache")})).load()
    assert {m: (s.kind, s.shape) for m, s in data.modalities.items()} == {
        "image": ("image", (3, 64, 64)),
        "text": ("tokens", (8,)),
    }
    assert [len(s) for s in (data.train, data.validation, data.test)] == [30, 10, 20]
    assert data.test.labels.tolist() == [1] * 20
    assert data.test.inputs["image"][np.array([0, 10])].decoded()[:, 0, 32, 32].tolist() == pytest.approx(
        [120, 200], abs=2
    )
    words = data.test.inputs["text"][np.array([11])]
    assert data.modalities["text"].codec.decode(words.values[slice(*words.spans[0])]) == "bird has caption 1 ."


def test_a_photograph_is_extracted_once(tmp_path):
    root, cache = official(tmp_path / "root"), tmp_path / "cache"
    prepared(Cub, root, cache, {"image": {"name": "raw", "size": 8}}, captions=10)
    spans = np.load(cache / "span.image.npy")
    assert (len(spans), len(np.unique(spans, axis=0))) == (60, 6)
    assert len(np.load(cache / "x.image.npy")) == int((np.unique(spans, axis=0) @ [-1, 1]).sum())


def test_a_photograph_that_cannot_be_read_goes_with_all_its_captions(tmp_path):
    root = official(tmp_path / "root")
    broken = root / "CUB_200_2011/images/001.Albatross/Bird_2.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    done = prepared(Cub, root, tmp_path / "cache", captions=3)
    assert (done.samples, len(done.skipped)) == (15, 1)
    assert done.skipped[0].startswith(f"image: {broken}: no readable image: ")


def test_lost_characters_and_blank_lines_are_left_out(tmp_path):
    official(tmp_path)
    (tmp_path / "text_c10/002.Albatross/Bird_1.txt").write_text("a\ufffd\ufffdbird \r\n\n  a   wing\x85\n", "utf-8")
    assert index(tmp_path, captions=2).media["text"].items[:2] == ["a bird", "a wing"]


def test_the_real_captions(tmp_path):
    if not CAPTIONS.is_file():
        pytest.skip("needs ../shared/data/cub_captions beside the repository: captions of the 50 test classes")
    captions = CAPTIONS.read_text(encoding="utf-8").splitlines()
    lists, text = tmp_path / "CUB_200_2011", tmp_path / "text_c10" / "1.B"
    (lists / "images" / "1.B").mkdir(parents=True)
    text.mkdir(parents=True)
    photos = range(len(captions) // 10)
    for photo in photos:
        (text / f"{photo}.txt").write_text("\n".join(captions[10 * photo : 10 * photo + 10]))
    for name, line in (("images", "{0} 1.B/{0}.jpg"), ("image_class_labels", "{0} 1"), ("train_test_split", "{0} 1")):
        (lists / f"{name}.txt").write_text("\n".join(line.format(photo) for photo in photos))
    (lists / "classes.txt").write_text("1 1.B\n")
    found = index(tmp_path)
    assert found.media["text"].items == [" ".join(c.split()) for c in captions]
    assert {s: int((found.split == s).sum()) for s in ("train", "validation", "test")} == {
        "train": 24930, "validation": 4400, "test": 0,
    }  # fmt: skip


def table(name, line, value):
    def change(root):
        lines = [*CUB[name]]
        lines[line] = value
        (root / "CUB_200_2011" / name).write_text("\n".join(lines))

    return change


def remove(path):
    return lambda root: (root / path).unlink()


def fill(path, content):
    return lambda root: (root / path).write_bytes(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: shutil.rmtree(root / "CUB_200_2011"), "{0}/CUB_200_2011 does not exist"),
        (lambda root: shutil.rmtree(root / "text_c10"),
         "{0}/text_c10/002.Albatross/Bird_1.txt cannot be read: No such file or directory"),
        (remove("CUB_200_2011/images.txt"),
         "{0}/CUB_200_2011/images.txt cannot be read: No such file or directory"),
        (fill("CUB_200_2011/images.txt", b"\n"), "{0}/CUB_200_2011/images.txt is empty"),
        (fill("CUB_200_2011/classes.txt", b"1 caf\xe9"), "{0}/CUB_200_2011/classes.txt is not in UTF-8"),
        (table("images.txt", 1, "2"),
         "{0}/CUB_200_2011/images.txt: each line must be a new number and a value, one is '2'"),
        (table("images.txt", 1, "1 a.jpg"),
         "{0}/CUB_200_2011/images.txt: each line must be a new number and a value, one is '1 a.jpg'"),
        (table("images.txt", 1, "2 a.jpg"), "{0}/text_c10/a.txt cannot be read: No such file or directory"),
        (table("image_class_labels.txt", 1, "2 3"), "{0}/CUB_200_2011/image_class_labels.txt says 2 '3'"),
        (table("train_test_split.txt", 1, "7 1"),
         "{0}/CUB_200_2011/train_test_split.txt says nothing about photograph 2"),
        (table("train_test_split.txt", 1, "2 yes"), "{0}/CUB_200_2011/train_test_split.txt says 2 'yes'"),
        (fill("text_c10/002.Albatross/Bird_1.txt", b"a bird\n\na wing\n"),
         "{0}/text_c10/002.Albatross/Bird_1.txt has 2 captions, not 10"),
        (fill("text_c10/002.Albatross/Bird_1.txt", b"\xff"), "{0}/text_c10/002.Albatross/Bird_1.txt is not in UTF-8"),
    ],
)  # fmt: skip
def test_malformed_files_are_an_error_of_one_line(tmp_path, change, message):
    change(official(tmp_path))
    with pytest.raises(DataError) as caught:
        index(tmp_path)
    assert str(caught.value) == message.format(tmp_path) + WAY_OUT


def test_many_photographs_missing_are_an_error(tmp_path):
    root = official(tmp_path / "root")
    shutil.rmtree(root / "CUB_200_2011/images")
    with pytest.raises(DataError) as caught:
        prepared(Cub, root, tmp_path / "cache")
    first = root / "CUB_200_2011/images/002.Albatross/Bird_1.jpg"
    assert str(caught.value) == f"6 of 6 files of 'image' are missing, such as {first}{WAY_OUT}"


def test_the_words_are_those_of_the_training_photographs_alone(tmp_path):
    root = official(tmp_path / "root")
    prepared(Cub, root, tmp_path / "cache")
    codec = Codec(str(np.load(tmp_path / "cache" / "codec.text.npy")))
    training = np.flatnonzero(index(root).split[::10] == "train") + 1
    assert (len(training), 3 in training, 5 in training) == (3, False, False)
    assert {codec.tokenizer.id_to_token(i) for i in range(4, codec.vocabulary)} == {
        *"0123456789.", "bird", "has", "caption", *(f"p{photo}" for photo in training),
    }  # fmt: skip


def by_classes(root, *names):
    official(root)
    (root / "testclasses.txt").write_text("".join(f"{name}\n" for name in names))
    return root


def test_species_may_be_to_test_with(tmp_path):
    by_classes(tmp_path, "002.Laysan_Albatross")
    found = index(tmp_path, split="classes", validation=0.4)
    assert set(found.labels[found.split == "test"]) == {1}
    assert set(found.labels[found.split != "test"]) == {0}
    assert {s: int((found.split == s).sum()) for s in ("train", "validation", "test")} == {
        "train": 20, "validation": 10, "test": 30,
    }  # fmt: skip
    assert len(index(tmp_path, split="classes", captions=1)) == 6


def test_the_split_by_species_needs_no_other_split(tmp_path):
    (by_classes(tmp_path, "002.Laysan_Albatross") / "CUB_200_2011/train_test_split.txt").unlink()
    assert len(index(tmp_path, split="classes")) == 60


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("003.Auk",), "{0}/testclasses.txt names '003.Auk', which is not in classes.txt"),
        ((), "{0}/testclasses.txt is empty"),
        (None, "{0}/testclasses.txt cannot be read: No such file or directory"),
    ],
)
def test_species_that_there_are_not_are_an_error_of_one_line(tmp_path, names, message):
    official(tmp_path) if names is None else by_classes(tmp_path, *names)
    with pytest.raises(DataError) as caught:
        index(tmp_path, split="classes")
    assert str(caught.value) == message.format(tmp_path) + WAY_OUT


def test_it_is_prepared_as_papers_on_generation_have_it(tmp_path):
    """Real captions of a species, made pictures."""
    if not CAPTIONS.is_file():
        pytest.skip("needs ../shared/data/cub_captions beside the repository: captions of the 50 test classes")
    captions = CAPTIONS.read_text(encoding="utf-8").splitlines()[:60]
    root = cub(tmp_path / "root", captions, "cvpr2016_cub/text_c10")
    (root / "cvpr2016_cub/testclasses.txt").write_text("001.Black_footed_Albatross\n")
    words = {"name": "tokens", "vocabulary": "published", "min_count": 4, "max_tokens": 32}
    prepared(Cub, root, tmp_path / "cache", {"text": words}, split="classes", validation=0.1)
    data = Cub(registry.options(Cub, {"cache": str(tmp_path / "cache")})).load()
    assert [len(s) for s in (data.train, data.validation, data.test)] == [20, 10, 30]
    text = data.modalities["text"]
    assert (data.modalities["image"].shape, text.codec.pad) == ((3, 64, 64), 1)
    assert text.vocabulary == text.codec.vocabulary
    first = data.train.inputs["text"][np.array([0])]
    ids = first.values[slice(*first.spans[0])]
    assert (ids[-1], len(ids) <= 32) == (2, True)
