"""What is noted of what made a trial."""

import sys
from dataclasses import replace

import numpy as np

from raysim.data.digest import data_digest
from raysim.engine.origin import VERSIONS, code_digests, own_code


def test_versions_are_all_there():
    assert set(VERSIONS) == {"raysim", "torch", "ray", "numpy", "python", "platform"}
    assert all(VERSIONS.values())


def test_code_is_copied_that_lies_where_one_works_and_is_not_raysims(tmp_path, monkeypatch):
    (tmp_path / "parts").mkdir()
    for name in ("noted_method.py", "parts/noted_part.py", "not_imported.py"):
        (tmp_path / name).write_text(f"NAME = {name!r}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path / "parts"))
    import noted_method
    import noted_part

    found = own_code((str(tmp_path), str(tmp_path / "parts")))
    names = ["noted_method.py", "parts/noted_part.py"]
    assert found == {name: f"NAME = {name!r}\n".encode() for name in names}
    assert len(set(code_digests(found).values())) == 2
    for module in (noted_method, noted_part):
        del sys.modules[module.__name__]


def test_a_checksum_notices_any_change_of_the_data(toy):
    dataset = toy.data(kinds=("image", "tokens")).dataset
    first = data_digest(dataset)
    assert data_digest(toy.data(kinds=("image", "tokens")).dataset) == first
    image = dataset.test.inputs["image"].copy()
    image[0, 0, 0, 0] += 1
    changes = [
        {"classes": ("x", *dataset.classes[1:])},
        {"test": replace(dataset.test, inputs={**dataset.test.inputs, "image": image})},
        {"train": replace(dataset.train, labels=dataset.train.labels[::-1])},
        {"train": replace(dataset.train, clients=np.arange(len(dataset.train)))},
        {"train": replace(dataset.train, lengths={"tokens": dataset.train.lengths["tokens"] - 1})},
    ]
    found = [data_digest(replace(dataset, **change)) for change in changes]
    assert len({first, *found}) == 1 + len(changes)
