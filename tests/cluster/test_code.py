"""Code and raw files that exist on the head alone, and hosts that have other ones."""

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from processes import records

pytestmark = pytest.mark.netns

STUDY = {
    "s.yaml": """
name: s
dataset: {name: arrays, path: data}
partition: {name: iid, clients: 6}
missing: {name: per_client, rate: 0.5, empty: keep_one}
model: {dim: 16, encoders: {image: {name: "parts.towers:Tower", width: 4}}}
method: scaled
federation: {rounds: 1, batch_size: 64}
evaluation: {missing: same, metrics: [accuracy, "judging:margin"], metric: accuracy}
numerics: {device: cpu, stack: 1}
placement: {actors: 3}
""",
    "methods/scaled.py": '''
"""Zero filling with a factor that stands in a file, read by a module that is imported when it is needed."""

from importlib import import_module

from raysim.method import Method


class Scaled(Method):
    """Embeddings times a factor."""

    def fill(self, batch, nets, features):
        """Each modality's embedding where it is present."""
        factor = import_module("late").factor()
        return {m: type(f).of(f.pooled() * factor).where(batch.present[m]) for m, f in features.items()}
''',
    "late.py": """
from pathlib import Path

def factor():
    return float(Path(__file__).with_name("f.txt").read_text())
""",
    "f.txt": "1.5",
    "parts/__init__.py": "",
    "parts/towers.py": """
from torch import nn

class Tower(nn.Module):
    def __init__(self, in_channels, out_dim, width: int = 8):
        super().__init__()
        from parts.deep.layers import widened

        self.net = nn.Sequential(nn.Conv2d(in_channels, widened(width), 3, stride=2), nn.ReLU())
        self.head = nn.Linear(widened(width), out_dim)

    def forward(self, x):
        return self.head(self.net(x).mean((2, 3)))
""",
    "parts/deep/layers.py": "def widened(width):\n    return 2 * width\n",
    "judging.py": """
import numpy as np

def margin(scores, labels):
    best = np.sort(scores, axis=1)
    return float((best[:, -1] - best[:, -2]).mean())
""",
}
OLDER = {
    "f.txt": "0.5",
    "parts/deep/layers.py": "def widened(width):\n    return 3 * width\n",
    "methods/scaled.py": STUDY["methods/scaled.py"].replace("* factor", "/ factor"),
}
SAMPLES, FEATURES = 600, 4000
DATA_BYTES = 4 * SAMPLES * FEATURES
PICTURES = {
    "datasets_of_mine.py": '''
from raysim.data.media import image
from raysim.data.recipe import About, Index, Medium, Recipe

import numpy as np


class Mine(Recipe):
    """Pictures."""

    about = About("nowhere", "none", ("*.png",))
    features = {"image": ("extractors_of_mine:Level",)}

    @classmethod
    def index(cls, root, settings):
        files = sorted(root.glob("*.png"))
        split = np.array(["train", "test"])[np.arange(len(files)) % 2]
        return Index({"image": Medium("image", files, image)}, np.arange(len(files)) % 3, ("a", "b", "c"), split)
''',
    "extractors_of_mine.py": '''
import numpy as np

from raysim.data.extractor import Extractor


class Level(Extractor):
    """A picture's first numbers."""

    reads = "image"
    chunk = 4

    def extract(self, media):
        return [np.asarray(picture, np.float32)[0, 0] for picture in media]
''',
}


def put(lan, host, files, folder="study"):
    for name, text in files.items():
        path = lan.disk(host) / "home/u" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(scope="module", autouse=True)
def head(lan):
    """Has the study and its data."""
    put(lan, 1, STUDY)
    put_data(lan)


def put_data(lan):
    """A folder of .npy files, which a process of the same machine would map."""
    folder, y = lan.disk(1) / "home/u/study/data", np.arange(SAMPLES) % 3
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays = {
        "x.image": rng.random((SAMPLES, 1, 8, 8)) + y[:, None, None, None], "y": y,
        "x.vector": rng.standard_normal((SAMPLES, FEATURES)), "split": np.arange(SAMPLES) % 5 % 3,
    }  # fmt: skip
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array.astype(np.float32) if name[0] == "x" else array)


def study(lan, out, *options, status=0):
    command = " ".join(("cd ~/study; raysim run s.yaml --progress plain --out", f"~/{out}", *options))
    done = lan.run(1, command, timeout_s=200)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def trial(lan, out):
    """The one trial's folder."""
    (file,) = (lan.disk(1) / "home/u" / out).rglob("metrics.jsonl")
    return file.parent


@pytest.mark.slow
def test_own_code_and_data_on_the_head_alone_give_the_same_bits_on_three_hosts(lan):
    """Host 2 has none of it, host 3 an older copy of some code at the same place. The data reaches each host once."""
    put(lan, 3, STUDY | OLDER)
    study(lan, "alone")
    before = lan.bytes()
    study(lan, "together", "--address auto")
    came = {host: got - before[host][1] for host, (_, got) in lan.bytes().items()}
    assert records(trial(lan, "together")) == records(trial(lan, "alone"))
    assert all(DATA_BYTES < came[host] < 1.5 * DATA_BYTES for host in (2, 3)), came
    copies = {p.name for p in (trial(lan, "together") / "code").rglob("*.py")}
    assert {"scaled.py", "towers.py", "judging.py"} <= copies


def test_another_raysim_on_a_host_is_refused_before_anything_starts(lan):
    file = "raysim/version.py"
    assert lan.run(3, f"cp {file} ~/kept; sed -i s/0.1.0/0.0.9/ {file}").returncode == 0
    try:
        done = study(lan, "refused", "--address auto", status=2)
    finally:
        lan.run(3, f"cp ~/kept {file}")
    (said,) = done.stderr.splitlines()
    assert said.startswith("node node3 (10.77.0.3): raysim 0.0.9 (files ")
    assert ") there, 0.1.0 (files " in said
    assert said.endswith(f") here, in {file}; install the same there")
    assert not list((lan.disk(1) / "home/u/refused").rglob("metrics.jsonl"))


def test_another_torch_on_a_host_is_refused_before_anything_starts(lan):
    (file,) = Path(torch.__file__).parents[1].glob("torch-*/METADATA")
    version = importlib.metadata.version("torch")
    assert lan.run(3, f"cp {file} ~/kept; sed -i 's/^Version: .*/Version: 2.0.1/' {file}").returncode == 0
    try:
        done = study(lan, "refused", "--address auto", status=2)
    finally:
        lan.run(3, f"cp ~/kept {file}")
    (said,) = done.stderr.splitlines()
    assert said == f"node node3 (10.77.0.3): torch 2.0.1 there, {version} here; install the same there"
    assert not list((lan.disk(1) / "home/u/refused").rglob("metrics.jsonl"))


def test_raw_files_on_the_head_alone_are_read_there(lan):
    put(lan, 1, PICTURES)
    raw = lan.disk(1) / "home/u/raw"
    raw.mkdir()
    for i in range(40):
        Image.fromarray(np.full((1, 1, 3), i, np.uint8)).save(raw / f"{i:02}.png")
    (raw / "07.png").write_bytes(b"")
    command = "cd ~/study; raysim data prepare datasets_of_mine:Mine --root ~/raw --cache"
    alone = lan.run(1, f"{command} ~/cache-alone --workers 1", timeout_s=120)
    together = lan.run(1, f"{command} ~/cache-together --address auto", timeout_s=120)
    for done in (alone, together):
        assert done.returncode == 0, done.stdout + done.stderr
        assert "prepared: 39 samples" in done.stdout
    left_out = "left out, since they do not see /home/u/raw as this machine does: "
    assert left_out in together.stdout
    assert left_out not in alone.stdout
    one, other = (lan.disk(1) / "home/u" / f"cache-{name}" for name in ("alone", "together"))
    assert (one / "prepared.json").read_bytes() == (other / "prepared.json").read_bytes()
