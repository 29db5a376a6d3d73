"""Text models of Hugging Face's `transformers`, from its hub or a folder."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

from raysim.data.dataset import DataError
from raysim.features._hub import quiet, short


def loaded(weights: str) -> tuple[Any, Any]:
    """Tokenizer and model.

    Args:
        weights: a name on the hub, or a folder.

    Raises:
        DataError: they are not there, or do not belong together.
    """
    import transformers

    library: Any = transformers
    try:
        with _quiet():
            config = library.AutoConfig.from_pretrained(weights)
            tokenizer = library.AutoTokenizer.from_pretrained(weights)
            model, report = library.AutoModel.from_pretrained(weights, config=config, output_loading_info=True)
    except Exception as error:  # each of the libraries behind these has errors of its own
        raise _error(weights, short(error)) from error
    if what := _wrong(tokenizer, model, report["missing_keys"]):
        raise _error(weights, what)
    return tokenizer, model


def _error(weights: str, what: str) -> DataError:
    return DataError(
        f"weights: {weights} cannot be loaded ({what}); give the folder of a download: weights: /path "
        "(for tests: random)"
    )


def _wrong(tokenizer: Any, model: Any, missing: Iterable[str]) -> str | None:
    """What `transformers` lets pass: it makes up weights, and a tokenizer without words, where there are none."""
    tokens, known = len(tokenizer), len(model.get_input_embeddings().weight)
    if tokens <= len(tokenizer.all_special_ids):
        return "there is no tokenizer.json and no vocabulary"
    if tokens > known:
        return f"the tokenizer has {tokens} tokens, the model {known}"
    unset = sorted(key for key in missing if not key.startswith("pooler."))
    return f"there are no values for {unset[0]}" if unset else None


@contextmanager
def _quiet() -> Generator[None]:
    from transformers.utils import logging

    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with quiet():
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if shown:
                logging.enable_progress_bar()
