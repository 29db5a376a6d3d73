"""Files below a URL."""

import pytest

from raysim.store import Store, StoreError, absolute


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("s3://b/x/", "s3://b/x"), ("s3:/b/x", "s3://b/x"), ("file:///a b/ü", "file:///a b/ü"), ("file:/a", "file:///a"),
        ("file://a", "file://a"), ("memory://", "memory://"), ("GS://b", "gs://b"),
    ],
)  # fmt: skip
def test_a_url_survives_being_made_a_path(text, url):
    assert absolute(text) == url


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("s3://b/x", r"s3://b/x: a package for s3:// is not installed \(.*s3fs.*\); pip install 'raysim\[s3\]'"),
        ("gs://b/x", r"gs://b/x: a package for gs:// is not installed \(.*gcsfs.*\); pip install 'raysim\[gcs\]'"),
        ("abfs://b/x", r"abfs://b/x: a package for abfs:// is not installed \(.*adlfs.*\); install it"),
        ("no://b/x", r"no://b/x: Protocol not known: no; name a folder, or a URL that fsspec knows \(file://, .*\)"),
    ],
)
def test_what_cannot_be_reached_is_a_line(url, line, monkeypatch):
    for name in ("s3fs", "gcsfs", "adlfs"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(StoreError, match=f"^{line}$"):
        Store(url)


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_files_come_and_go(kind, tmp_path):
    root = tmp_path / "the store, ü [1]"
    store = Store(f"{kind}://{root}")
    assert (store.listed(), store.read("a")) == ({}, None)
    (tmp_path / "a").write_text("1")
    names = ["a", "b c/é [x]?.txt", ".hidden/a", "b c/.hidden"]
    assert store.put(dict.fromkeys(names, tmp_path / "a"))[1] == ""
    seen = store.listed()
    assert sorted(seen) == ["a", "b c/é [x]?.txt"]
    (tmp_path / "a").write_text("22")
    store.put({"a": tmp_path / "a"})
    assert store.listed()["a"] != seen["a"]
    assert store.read("a") == b"22"
    done, problem = store.get({"b c/é [x]?.txt": tmp_path / "there" / "b", "none": tmp_path / "none"})
    assert (sorted(done), problem, (tmp_path / "there" / "b").read_text()) == (["b c/é [x]?.txt", "none"], "", "1")
    assert not (tmp_path / "none").exists()
    assert sorted(store.remove([*names, "none"])[0]) == sorted([*names, "none"])
    assert store.listed() == {}
    if kind == "file":
        assert not (root / "b c").exists()


def test_a_reader_of_a_disk_sees_whole_files_alone(tmp_path, monkeypatch):
    store = Store(f"file://{tmp_path}/store")
    store.write("a", b"old")

    def torn(path, data):
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._fs, "pipe_file", torn)
    with pytest.raises(StoreError, match="No space left on device"):
        store.write("a", b"new")
    assert store.read("a") == b"old"
    assert list(store.listed()) == ["a"]


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(tmp_path, monkeypatch):
    store = Store(f"file://{tmp_path}")
    (tmp_path / "inner").mkdir()
    listing = store._fs.ls

    def refuses(path, **more):
        if path.endswith("inner"):
            raise PermissionError(13, "Permission denied")
        return listing(path, **more)

    monkeypatch.setattr(store._fs, "ls", refuses)
    with pytest.raises(StoreError, match="Permission denied"):
        store.listed()
