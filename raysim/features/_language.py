"""Text models of Hugging Face's `transformers`, from its hub or a folder."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
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


FILES = (
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "preprocessor_config.json",
)
"""Of a network on the hub, what is downloaded."""


def folder_of(model: str, revision: str | None = None) -> Path:
    """The folder with a network's files: of a name on the hub its copy in the cache, which is made if there is none.

    Args:
        model: a folder, or a name on the hub.
        revision: of the hub's, a commit or a branch.

    Raises:
        DataError: it is not there, and cannot be downloaded.
    """
    if Path(model).is_dir():
        return Path(model)
    import huggingface_hub

    hub: Any = huggingface_hub
    try:
        with quiet():
            try:
                path = Path(
                    hub.snapshot_download(model, allow_patterns=FILES, revision=revision, local_files_only=True)
                )
                whole = any(path.glob("model*.safetensors"))
            except hub.errors.LocalEntryNotFoundError:
                path, whole = Path(), False
            return path if whole else Path(hub.snapshot_download(model, allow_patterns=FILES, revision=revision))
    except Exception as error:  # of several libraries
        offline = isinstance(error, hub.errors.LocalEntryNotFoundError | hub.errors.OfflineModeIsEnabled)
        what = "it is in no cache here, and the hub cannot be reached: offline?" if offline else short(error)
        raise DataError(
            f"model: '{model}' cannot be loaded ({what}); download it where there is a network (hf download {model} "
            "--local-dir FOLDER), and write model: FOLDER"
        ) from error


def network(folder: Path) -> Any:
    """The model of a folder, from safetensors alone.

    Raises:
        DataError: it is not there, or values are missing or of another shape than its config.json says.
    """
    import transformers

    library: Any = transformers
    try:
        with _quiet():
            model, report = library.AutoModel.from_pretrained(
                folder, use_safetensors=True, local_files_only=True, output_loading_info=True,
                ignore_mismatched_sizes=True,
            )  # fmt: skip
    except Exception as error:  # of several libraries
        raise DataError(
            f"model: {folder} cannot be loaded ({short(error)}); it needs {FILES[0]} and safetensors"
        ) from error
    for name, came, wanted in sorted(report["mismatched_keys"]):
        raise DataError(
            f"model: {folder}: '{name}' has the shape {tuple(came)} in the file, and {tuple(wanted)} is wanted by "
            f"{FILES[0]}; they are of different models"
        )
    if unset := _unset(report["missing_keys"]):
        raise DataError(f"model: {folder} has no values for {unset[0]}; it is of another model than {FILES[0]} says")
    return model.float()


def untrained(config: dict[str, Any]) -> Any:
    """A model as its config.json would say, with values by torch's generator.

    Raises:
        DataError: there is no such model.
    """
    import transformers

    library: Any = transformers
    try:
        with _quiet():
            return library.AutoModel.from_config(library.AutoConfig.for_model(**config)).float()
    except Exception as error:  # whatever its constructor raises
        raise DataError(
            f"config: no model can be built ({short(error)}); write what its config.json would say"
        ) from error


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
    unset = _unset(missing)
    return f"there are no values for {unset[0]}" if unset else None


def _unset(missing: Iterable[str]) -> list[str]:
    """Names without values, but for the pooler's, which nobody uses."""
    return sorted(key for key in missing if not key.startswith("pooler."))


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
