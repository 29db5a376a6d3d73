"""A BERT with random values, and a tokenizer of thirteen words, in a folder as `save_pretrained` leaves it."""

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "lung", "is", "clear", "opaque", "heart", "large", "small", "no")
WIDTH, LAYERS = 16, 2
CONFIG = {"model_type": "bert", "vocab_size": len(WORDS), "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
          "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 16}  # fmt: skip


def tokenizer(words=WORDS):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made


def write(folder, **config):
    """The folder; `config` differs from CONFIG."""
    import torch
    from transformers import AutoConfig, AutoModel

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        AutoModel.from_config(AutoConfig.for_model(**{**CONFIG, **config})).save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder
