"""What the extractors that load from the Hugging Face hub share."""

import textwrap
import warnings
from collections.abc import Generator
from contextlib import contextmanager

SHOWN = 160


@contextmanager
def quiet() -> Generator[None]:
    """What goes wrong is raised; log lines, progress bars and warnings would tear the display."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
        logging,
    )

    level, shown = logging.get_verbosity(), not are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.set_verbosity_error()
        disable_progress_bars()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if shown:
                enable_progress_bars()


def short(error: Exception) -> str:
    """An error of theirs, in one line."""
    return textwrap.shorten(str(error), SHOWN, placeholder=" ...")
