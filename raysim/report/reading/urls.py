"""Where the copy of a study at a URL lies on this machine, and of which URL a folder is the copy."""

import json
import os
from pathlib import Path

from raysim.data.cache import cache_folder
from raysim.disk import digest

COPIES, STATE = "urls", "copy.json"


def home(url: str) -> Path:
    """Where all that belongs to a URL's copy lies, the same whenever it is asked for."""
    return cache_folder(COPIES) / digest(url.encode())


def shown(folder: Path) -> str:
    """What a user calls a study's folder: the URL, where the folder is a copy of it."""
    state = folder.absolute().parent / STATE
    return json.loads(state.read_bytes())["url"] if state.exists() else os.fspath(folder)
