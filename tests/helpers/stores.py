"""Stores in memory that fail, never answer, or tell each change."""

import time

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class Odd(MemoryFileSystem):
    """In memory, below odd://.

    Attributes:
        before: is called with (`put` or `remove`, path) before each change; may raise.
        after: likewise.
        silent: whether it never answers.
    """

    protocol = "odd"
    cachable = False
    store, pseudo_dirs = {}, [""]
    silent = False

    @staticmethod
    def before(what, path):
        """Nothing."""

    @staticmethod
    def after(what, path):
        """Nothing."""

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).replace("odd://", "memory://"))

    def _changing(self, what, path, change):
        while type(self).silent:
            time.sleep(0.05)
        type(self).before(what, path)
        change()
        type(self).after(what, path)

    def put_file(self, lpath, rpath, **more):
        self._changing("put", rpath, lambda: super(Odd, self).put_file(lpath, rpath, **more))

    def rm_file(self, path):
        self._changing("remove", path, lambda: super(Odd, self).rm_file(path))

    def cat_file(self, path, **more):
        while type(self).silent:
            time.sleep(0.05)
        return super().cat_file(path, **more)


def fresh_odd():
    """A store that holds nothing and does as it is told."""

    class Fresh(Odd):
        store, pseudo_dirs = {}, [""]

    fsspec.register_implementation("odd", Fresh, clobber=True)
    return Fresh


def contents(kind, root):
    """Name -> bytes of all that is below a folder, but what only raysim's runs read."""
    files = {p.removeprefix(f"/{root}/"): f.getvalue() for p, f in list(kind.store.items())}
    return {name: data for name, data in files.items() if not name.startswith(".")}
