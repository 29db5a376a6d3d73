"""What BERT, or another text model of Hugging Face's `transformers`, makes of a text: a vector a token, or one in all.

Devlin et al., "BERT", NAACL 2019. The vectors are those of the last layer; special tokens count.

A text is run through the model by itself, on the CPU in one thread: padding to a batch, and the number of threads,
change the last bits.
"""

import string
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictStr

from raysim.data.dataset import Array, DataError
from raysim.data.extractor import Extractor
from raysim.features._language import loaded
from raysim.features._torch import one_thread

RANDOM, LAYERS, SEED = "random", 2, 0
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation


class Bert(Extractor):
    """Vectors of 768 with the weights that are the default."""

    class Options(Extractor.Options):
        """What may be chosen."""

        weights: StrictStr = Field(
            default="bert-base-uncased",
            description="A name on the Hugging Face hub, a folder with the same files, or random: two layers that know "
            "nothing, to try things out.",
        )
        take: Literal["tokens", "cls", "mean"] = Field(
            default="tokens", description="The vectors of all tokens (T, D), the first token's alone, or the mean (D,)."
        )
        max_tokens: Annotated[int, Field(ge=2)] | None = Field(
            default=None, description="What is longer is cut; null: as many as the model takes."
        )

    options: Options
    reads = "text"
    gpu = True
    requires: ClassVar = {"transformers": "text"}
    architecture: ClassVar[str] = "bert"
    """Of random weights, as `transformers` calls it."""

    def open(self) -> None:
        """Loads tokenizer and model.

        Raises:
            DataError: they are not there, do not belong together, or take fewer tokens than asked for.
        """
        import torch

        tokenizer, model = self._random() if self.options.weights == RANDOM else loaded(self.options.weights)
        limits = (tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None))
        most, wanted = min(n for n in limits if n), self.options.max_tokens
        if wanted is not None and wanted > most:
            raise DataError(f"max_tokens is {wanted}, but {self.options.weights} takes at most {most}")
        self.limit = wanted or most
        self.tokenizer = tokenizer
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.float().eval().to(self.device)

    def extract(self, media: Sequence[str]) -> Sequence[Array]:
        """One text after another."""
        import torch

        with torch.inference_mode(), one_thread():
            return [self._vectors(text) for text in media]

    def _vectors(self, text: str) -> Array:
        inputs = self.tokenizer(text, truncation=True, max_length=self.limit, return_tensors="pt")
        found: Array = self.model(**inputs.to(self.device)).last_hidden_state[0].cpu().numpy()
        if self.options.take == "tokens":
            return found
        return found[0] if self.options.take == "cls" else found.mean(axis=0)

    def _random(self) -> tuple[Any, Any]:
        """A model of the usual width, and a tokenizer whose tokens are characters."""
        import torch
        import transformers
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

        library: Any = transformers
        vocabulary = {t: i for i, t in enumerate([*MARKS, *CHARACTERS, *(f"##{c}" for c in CHARACTERS)])}
        pieces: Any = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        pieces.normalizer, pieces.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        pieces.post_processor = processors.BertProcessing(*((t, vocabulary[t]) for t in ("[SEP]", "[CLS]")))
        tokenizer = library.PreTrainedTokenizerFast(tokenizer_object=pieces)
        config = library.AutoConfig.for_model(self.architecture, vocab_size=len(vocabulary), num_hidden_layers=LAYERS)
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(SEED)
            return tokenizer, library.AutoModel.from_config(config)
