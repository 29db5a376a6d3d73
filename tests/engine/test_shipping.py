"""What travels with a study, and how it is found where it arrives. Names are those of no other test."""

import importlib
import os
import sys
from pathlib import Path

import pytest

from raysim.engine import shipping
from raysim.engine.shipping import Code, imported, shipped

FILES = {
    "main_of_mine.py": "import parts_of_mine.deep.layers\ndef later():\n    import late_of_mine\n",
    "late_of_mine.py": "from raysim import registry\nVALUE = 1\n",
    "never_of_mine.py": "",
    "words.txt": "a b c",
    ".secret": "token",
    "parts_of_mine/__init__.py": "",
    "parts_of_mine/deep/layers.py": "",
    "parts_of_mine/deep/table.csv": "1,2",
    "parts_of_mine/__pycache__/x.pyc": "",
    "other/unused.py": "",
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with a user's files, of which one module was imported."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    importlib.invalidate_caches()
    importlib.import_module("main_of_mine")
    yield tmp_path
    for name in [name for name in sys.modules if "_of_mine" in name]:
        del sys.modules[name]


def names(code, home):
    return {os.path.relpath(path, home) for path, _ in code.files}


def test_what_was_imported_and_all_that_belongs_to_it_travels(home):
    code = shipped([str(home)])
    assert code.folders == (str(home),)
    assert names(code, home) == set(FILES) - {".secret", "parts_of_mine/__pycache__/x.pyc", "other/unused.py"}
    assert dict(code.files)[str(home / "words.txt")] == b"a b c"
    assert code.large == ()


def test_nothing_travels_where_nothing_was_imported(tmp_path):
    (tmp_path / "idle.py").write_text("")
    assert shipped([str(tmp_path)]).files == ()


def test_what_a_package_elsewhere_imports_travels_too(home, tmp_path_factory):
    """A module of one folder names one of another, which nobody has imported yet."""
    other = tmp_path_factory.mktemp("other")
    (other / "far_of_mine.py").write_text("")
    (home / "main_of_mine.py").write_text("def f():\n    from far_of_mine import x\n")
    assert str(other / "far_of_mine.py") in dict(shipped([str(home), str(other)]).files)
    assert str(other / "far_of_mine.py") not in dict(shipped([str(home)]).files)


def test_raysim_itself_and_installed_packages_do_not_travel(home):
    root = Path(shipping.__file__).parents[2]
    (home / "main_of_mine.py").write_text("import raysim.method, methods.zero_fill, numpy.linalg, json\n")
    travelled = {os.path.relpath(path, root) for path, _ in shipped([str(home), str(root)]).files}
    assert not [path for path in travelled if path.startswith(("raysim/", "methods/", ".venv/"))]


def test_large_files_stay_and_small_ones_go_first(home, monkeypatch):
    monkeypatch.setattr(shipping, "BESIDE_BYTES", 100)
    monkeypatch.setattr(shipping, "ALL_BYTES", 120)
    for name, size in (("a.bin", 101), ("b.bin", 90), ("c.bin", 60)):
        (home / name).write_bytes(bytes(size))
    code = shipped([str(home)])
    assert {"words.txt", "c.bin"} <= names(code, home)
    assert dict(code.large) == {str(home / "a.bin"): 101, str(home / "b.bin"): 90}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (b"import a.b as c, d", {"a.b", "d"}),
        (b"from a import b", {"a", "a.b"}),
        (b"from . import b\nfrom .c import d", set()),
        (b"def f():\n    import a", {"a"}),
        (b"import (", set()),
    ],
)
def test_what_a_file_imports(source, found):
    assert imported(source) == found


def test_the_same_files_are_used_where_they_are(home, monkeypatch):
    code = shipped([str(home)])
    monkeypatch.setattr(sys, "path", ["/first"])
    code.arrive()
    assert sys.path == ["/first", str(home)]


@pytest.mark.parametrize("path", [["/first"], ["HOME", "/first"]], ids=["absent", "on the path"])
@pytest.mark.parametrize("change", ["main_of_mine.py", "words.txt", None], ids=["code", "words", "gone"])
def test_others_lose_against_what_travelled(home, monkeypatch, path, change):
    (home / "large.bin").write_bytes(bytes(200))
    monkeypatch.setattr(shipping, "BESIDE_BYTES", 100)
    code = shipped([str(home)])
    if change is None:
        (home / "main_of_mine.py").unlink()
    else:
        (home / change).write_text("OLD = 1")
    for name in [name for name in sys.modules if "_of_mine" in name]:
        del sys.modules[name]
    monkeypatch.setattr(sys, "path", [str(home) if place == "HOME" else place for place in path])
    code.arrive()
    code.arrive()
    (place,) = set(sys.path) - {"/first"}
    assert sys.path.index(place) == (0 if "HOME" in path else 1)
    assert place != str(home)
    assert place.endswith(str(home))
    assert Path(importlib.import_module("main_of_mine").__file__).is_relative_to(place)
    assert {f: (Path(place) / f).read_text() for f in ("main_of_mine.py", "words.txt")} == {
        f: FILES[f] for f in ("main_of_mine.py", "words.txt")
    }
    assert (Path(place) / "large.bin").readlink() == home / "large.bin"
    assert Path(importlib.import_module("late_of_mine").__file__).is_relative_to(place)


def test_folders_keep_their_places_to_each_other(home, monkeypatch):
    code = shipped([str(home), str(home / "other")])
    (home / "words.txt").unlink()
    monkeypatch.setattr(sys, "path", [])
    code.arrive()
    place, other = sys.path
    assert place.endswith(str(home))
    assert other == str(home / "other")  # nothing of it travelled


def test_on_a_cluster_of_our_own_nothing_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    Code((str(tmp_path), "/a")).arrive()
    assert sys.path == [str(tmp_path), "/a"]
