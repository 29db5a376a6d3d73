import importlib.util
import os
import re
import sys

import numpy as np
import pytest

from raysim import registry
from raysim.cli.app import main

WAY_OUT = (
    "; get cmu_mosi from https://github.com/soujanyaporia/contextual-utterance-level-multimodal-sentiment-analysis "
    "(for research, with citation)"
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Where everything is prepared that is not told otherwise."""
    monkeypatch.setenv("RAYSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    """Four utterances of two videos in the layout of CMU-MOSI."""
    folder = tmp_path / "raw"
    folder.mkdir()
    np.savez(
        folder / "features.npz", label=np.array([0, 1, 1, 0], np.int8), is_test=np.array([False, False, True, True]),
        **{m: np.arange(4.0 * d).reshape(4, d) for m, d in (("text", 3), ("audio", 2), ("video", 1))},
    )  # fmt: skip
    (folder / "utterances.csv").write_text("row,video_id\n0,a\n1,a\n2,b\n3,b\n")
    return folder


SUMMARY = """\
class     train  test
negative      1     1
positive      1     1
samples       2     2

text: keep, float32 (3,)
audio: keep, float32 (2,)
video: keep, float32 (1,)

2 natural clients, 1 of them with 2 to 2, median 2 training samples:
client  train  test
a           2     0
b           0     2
"""


def test_prepare_says_what_came_out_and_how_to_use_it(root, cache, capsys):
    assert main(["data", "prepare", "cmu_mosi", "--root", str(root)]) == 0
    out, err = capsys.readouterr()
    assert out == (f"prepared: 4 samples in {cache}/cmu_mosi\n\n{SUMMARY}\nuse it in a scenario: dataset: cmu_mosi\n")
    assert re.findall(r"(\w+) .*?(\d/\d)", err) == [("text", "4/4"), ("audio", "4/4"), ("video", "4/4")]
    assert np.load(cache / "cmu_mosi" / "x.text.npy")[1].tolist() == [3, 4, 5]


def test_prepare_does_nothing_twice(root, cache, capsys):
    main(["data", "prepare", "cmu_mosi", "--root", str(root)])
    capsys.readouterr()
    assert main(["data", "prepare", "cmu_mosi", "--root", "nowhere"]) == 0
    assert capsys.readouterr().out.startswith(f"was prepared: 4 samples in {cache}/cmu_mosi\n")


def test_prepare_into_a_folder(root, cache, capsys):
    assert main(["data", "prepare", "cmu_mosi", "--root", str(root), "--cache", "here"]) == 0
    assert capsys.readouterr().out.endswith("\nuse it in a scenario: dataset: {name: cmu_mosi, cache: here}\n")
    assert not cache.exists()


def test_prepare_with_another_extractor_of_the_users_own(root, cache, capsys, tmp_path, monkeypatch):
    (tmp_path / "own_feature.py").write_text(
        "from raysim.features.keep import Keep\n\n\nclass Half(Keep):\n"
        "    class Options(Keep.Options):\n        by: float = 2.0\n\n"
        "    def extract(self, media):\n        return [a / self.options.by for a in super().extract(media)]\n"
    )
    monkeypatch.chdir(tmp_path)
    wish = "text={name: own_feature:Half, by: 4}"
    assert main(["data", "prepare", "cmu_mosi", "--root", str(root), "--features", wish]) == 0
    assert re.search(r"^text: own_feature.*, float32 \(3,\)$", capsys.readouterr().out, re.MULTILINE)
    assert np.load(cache / "cmu_mosi" / "x.text.npy")[1].tolist() == [0.75, 1, 1.25]


OWN = """\
import numpy as np

from raysim.data.media import Unreadable
from raysim.data.recipe import About, Index, Medium, Recipe


def read(item):
    if item < 6:
        raise Unreadable("too small")
    return np.ones(1)


class Own(Recipe):
    about, features = About("here", "none", ()), {"a": ("keep",)}

    @classmethod
    def index(cls, root, settings):
        split = np.array(["train", "test"] * 100)
        return Index({"a": Medium("array", range(200), read)}, np.zeros(200, int), ("one",), split)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A recipe beside the scenario; six of its 200 items cannot be read."""
    (tmp_path / "own_data.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    yield "own_data:Own"
    sys.modules.pop("own_data", None)


def test_what_is_skipped_is_shown(own, capsys):
    assert main(["data", "prepare", own, "--root", "x", "--cache", "there"]) == 0
    assert capsys.readouterr().out.splitlines()[:7] == [
        *(f"skipped a: {i}: too small" for i in range(5)),
        "skipped 6 files in all; there/prepared.json names them",
        "prepared: 194 samples in there",
    ]


def test_a_recipe_of_the_users_own_is_found_where_it_was_prepared(own, capsys):
    assert main(["data", "prepare", own, "--root", "x"]) == 0
    assert capsys.readouterr().out.endswith("\nuse it in a scenario: dataset: own_data:Own\n")
    assert main(["data", "check", own]) == 0
    recipe = registry.find("dataset", own)
    assert len(recipe(registry.options(recipe, {})).load().test) == 97


def test_list_marks_what_is_prepared(root, capsys):
    main(["data", "prepare", "cmu_mosi", "--root", str(root)])
    capsys.readouterr()
    assert main(["data", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert re.match(r"cmu_mosi +prepared  CMU-MOSI: the sentiment of spoken film reviews", lines["cmu_mosi"])
    assert re.match(r"av_mnist +AV-MNIST: pictures of digits", lines["av_mnist"])
    assert {"synthetic", "arrays"} & set(lines) == set()


def test_info_before_and_after(root, cache, capsys):
    assert main(["data", "info", "cmu_mosi"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("CMU-MOSI: the sentiment of spoken film reviews")
    assert "\nterms   for research, with citation\n--root  features.npz: text, audio, video (N, D), " in out
    assert "\ntext    keep\naudio   keep\nvideo   keep\n" in out
    assert out.endswith(f"\nnot prepared in {cache}/cmu_mosi\n")
    main(["data", "prepare", "cmu_mosi", "--root", str(root)])
    capsys.readouterr()
    assert main(["data", "info", "cmu_mosi"]) == 0
    assert capsys.readouterr().out.endswith(f"\nprepared in {cache}/cmu_mosi: 4 samples\n\n{SUMMARY}")


def test_info_shows_the_settings(capsys):
    assert main(["data", "info", "av_mnist"]) == 0
    assert (
        "\n--set   images=1  Pictures that each recording is paired with.\n--set   seed=0  Of the pairing.\n"
    ) in capsys.readouterr().out


def test_check_finds_what_has_changed(root, cache, capsys):
    main(["data", "prepare", "cmu_mosi", "--root", str(root)])
    capsys.readouterr()
    assert main(["data", "check", "cmu_mosi"]) == 0
    assert capsys.readouterr().out == f"{cache}/cmu_mosi: 7 files, 0.0 MB, all as they were written\n"
    folder = cache / "cmu_mosi"
    (folder / "x.text.npy").write_bytes((folder / "x.text.npy").read_bytes()[:-1])
    (folder / "y.npy").unlink()
    assert main(["data", "check", "cmu_mosi"]) == 2
    out, err = capsys.readouterr()
    way_out = f"; remove {folder} and run: raysim data prepare cmu_mosi"
    assert (out, sorted(err.splitlines())) == (
        "", [f"{folder}/x.text.npy has changed since it was prepared{way_out}", f"{folder}/y.npy is missing{way_out}"],
    )  # fmt: skip


def test_a_damaged_cache_is_one_line(root, cache, capsys):
    main(["data", "prepare", "cmu_mosi", "--root", str(root)])
    (cache / "cmu_mosi" / "prepared.json").write_text("{")
    capsys.readouterr()
    for command in (["check", "cmu_mosi"], ["info", "cmu_mosi"], ["prepare", "cmu_mosi", "--root", str(root)]):
        assert main(["data", *command]) == 2
        assert capsys.readouterr().err.strip() == (
            f"raysim: {cache}/cmu_mosi/prepared.json is damaged; "
            f"remove {cache}/cmu_mosi and run raysim data prepare again"
        )


PREPARE = ("prepare", "cmu_mosi", "--root", "raw")
MISTAKES = [
    (("info", "cmu_mos"), "there is no dataset 'cmu_mos'; did you mean 'cmu_mosi'?"),
    (("prepare", "cmu_mos", "--root", "raw"), "there is no dataset 'cmu_mos'; did you mean 'cmu_mosi'?"),
    (("check", "nothing:Here"), "there is no module 'nothing'; put it beside the scenario, in the current folder, "
     "or install it"),
    (("info", "synthetic"), "dataset 'synthetic' needs no preparation; scenarios use it as it is"),
    (("check", "cmu_mosi"),
     "CACHE/cmu_mosi is not prepared: there is no prepared.json; run raysim data prepare"),
    (("prepare", "cmu_mosi"), "Missing option '--root'; see raysim data prepare --help"),
    (("prepare", "cmu_mosi", "--root", "nowhere"), f"nowhere/utterances.csv does not exist{WAY_OUT}"),
    ((*PREPARE, "--workers", "0"),
     "Invalid value for '--workers': Input should be greater than or equal to 1; see raysim data prepare --help"),
    ((*PREPARE, "--features", "txt=keep"),
     "--features txt: cmu_mosi has no such modality; there are: text, audio, video"),
    ((*PREPARE, "--features", "text=kep"), "--features text: there is no feature 'kep'; did you mean 'keep'?"),
    ((*PREPARE, "--features", "text=3"), "--features text: must be a name or {name: NAME, ...}, is 3"),
    ((*PREPARE, "--features", "text={bands: 3}"),
     "--features text: must be a name or {name: NAME, ...}, is {'bands': 3}"),
    ((*PREPARE, "--features", "text={name: keep, size: 3}"), "--features text.size: unknown key; there are: pool"),
    ((*PREPARE, "--features", "audio={name: mfcc, bands: 0}"),
     "--features audio.bands: must be a whole number of at least 1, is 0"),
    ((*PREPARE, "--features", "text"), "--features text: must be KEY=VALUE"),
    ((*PREPARE, "--set", "seed=1"), "--set seed: unknown key; remove it"),
    ((*PREPARE, "--set", "=1"), "--set =1: must be KEY=VALUE"),
    (("prepare", "av_mnist", "--root", "raw", "--set", "imges=1"),
     "--set imges: unknown key; did you mean 'images'?"),
    (("prepare", "av_mnist", "--root", "raw", "--set", "images=0"),
     "--set images: must be a whole number of at least 1, is 0"),
    (("prepare", "av_mnist", "--root", "raw", "--set", "images=true"),
     "--set images: must be a whole number of at least 1, is true"),
    (("prepare", "av_mnist", "--root", "raw", "--set", "images"), "--set images: must be KEY=VALUE"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(a) for a, _ in MISTAKES])
def test_a_mistake_is_one_line(root, cache, capsys, arguments, message):
    assert main(["data", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.strip()) == ("", f"raysim: {message.replace('CACHE', str(cache))}".strip())
    assert not cache.exists()


def test_a_value_that_is_no_yaml_is_one_line(root, capsys):
    assert main(["data", *PREPARE, "--features", "text={name:"]) == 2
    assert capsys.readouterr().err.strip() == (
        "raysim: --features text={name:: is not YAML: expected the node content, but found '<stream end>'; "
        "check quotes and brackets"
    )


def test_another_wish_needs_another_folder(root, cache, capsys):
    main(["data", "prepare", "cmu_mosi", "--root", str(root)])
    capsys.readouterr()
    assert main(["data", "prepare", "cmu_mosi", "--root", str(root), "--features", "text=pixels"]) == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith(f"raysim: {cache}/cmu_mosi was prepared with features ")
    assert err.endswith("; give another --cache, or remove it")


def test_a_package_that_is_not_there_is_one_line(root, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "librosa" else find(name))
    assert main(["data", "prepare", "cmu_mosi", "--root", str(root), "--features", "text=mfcc"]) == 2
    assert capsys.readouterr().err.strip() == (
        "raysim: --features text: 'mfcc' needs the package librosa; pip install 'raysim[audio]'"
    )


def test_a_folder_that_cannot_be_written_is_one_line(root, capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert main(["data", "prepare", "cmu_mosi", "--root", str(root), "--cache", "file/deeper"]) == 1
    assert capsys.readouterr().err.strip() == (
        "raysim: file/deeper: Not a directory; mend that and run the command again"
    )


@pytest.mark.parametrize(("address", "mode"), [([], "token"), (["--address", "auto"], None)])
def test_a_cluster_of_its_own_asks_for_a_token(root, cache, monkeypatch, address, mode):
    for key in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(key, "")  # so that it is put back
        monkeypatch.delenv(key)
    assert main(["data", "prepare", "cmu_mosi", "--root", str(root), *address]) == 0
    assert os.environ.get("RAY_AUTH_MODE") == mode
    assert bool(os.environ.get("RAY_AUTH_TOKEN")) == (mode is not None)
