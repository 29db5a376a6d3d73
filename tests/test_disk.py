import gzip

import pytest

from raysim.disk import unpacked

PACKED = gzip.compress(b"text", mtime=0)


def test_a_gzipped_file_reads_like_the_file_in_it(tmp_path):
    (tmp_path / "a.gz").write_bytes(PACKED)
    (tmp_path / "a").write_bytes(b"text")
    assert unpacked(tmp_path / "a.gz") == unpacked(tmp_path / "a") == b"text"


@pytest.mark.parametrize("content", [b"text", PACKED[:-6], PACKED[:12] + b"\xff" * 9])
def test_a_torn_gzipped_file_cannot_be_read(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(OSError, match="no whole gzip file: "):
        unpacked(tmp_path / "a.gz")
