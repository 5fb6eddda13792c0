"""Which vocabulary a model has: found, read by its kind, and compared with what the model says."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from model.configuration_albert import AlbertConfig
from model.configuration_keys import JSON_KEY, VOCABULARY_KEY
from model.file_names import VOCABULARY_NAMES
from model.files import find_file
from model.tokenization_albert import AlbertTokenizer
from model.tokenization_json import JsonTokenizer
from model.tokenization_wordpiece import WordPieceTokenizer
from model.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

# By the ending of the file. All else is SentencePiece's.
_KINDS: dict[str, type[Tokenizer]] = {".txt": WordPieceTokenizer, ".json": JsonTokenizer}


def load_tokenizer(vocabulary: str | Path, do_lower_case: bool | None = None) -> Tokenizer:
    """Read a vocabulary of whichever kind; the ending of its name says which.

    Args:
        do_lower_case: whether the text is lower-cased. None: as the files say.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no vocabulary of its kind, or of no ALBERT.
    """
    return _KINDS.get(Path(vocabulary).suffix, AlbertTokenizer)(vocabulary, do_lower_case)


def find_vocabulary(folder: str | Path) -> Path:
    """Return the vocabulary in ``folder``, under the first of its usual names.

    Raises:
        FileNotFoundError: none is there.
    """
    return find_file(folder, VOCABULARY_NAMES, "vocabulary")


class Sources(NamedTuple):
    """Where a model's configuration is from, and its vocabulary, as errors name them.

    Attributes:
        config: the file that the configuration was read from.
        config_flag, vocabulary_flag: what names that, and the vocabulary, where a flag of its own does.
    """

    config: Path
    config_flag: str | None = None
    vocabulary_flag: str | None = None


def check_vocabulary(config: AlbertConfig, tokenizer: Tokenizer, sources: Sources) -> None:
    """See that the model knows every piece of the vocabulary; a warning tells of a smaller one.

    Raises:
        ValueError: the vocabulary has more pieces than the model, or is not the one that the model says.
    """
    named = _named(tokenizer.vocabulary, sources.vocabulary_flag)
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"{named} has {tokenizer.vocab_size} pieces, but the model's vocab_size is "
            f"{config.vocab_size} in {_named(sources.config, sources.config_flag)}: give the vocabulary "
            "that came with it"
        )
    check_same_vocabulary(config, tokenizer, sources)
    if tokenizer.vocab_size < config.vocab_size:
        logger.warning(
            "%s has %d pieces, fewer than the model's vocab_size %d: is it the model's own?",
            named,
            tokenizer.vocab_size,
            config.vocab_size,
        )


def check_same_vocabulary(config: AlbertConfig, tokenizer: Tokenizer, sources: Sources) -> None:
    """See that a vocabulary is the one that the configuration was saved with, if that says which.

    Another of the same size would be read as if it were that one, and every result be nonsense.

    Raises:
        ValueError: it is another.
    """
    key, said, own = VOCABULARY_KEY, config.vocabulary_sha256, tokenizer.digest
    if own is None:
        key, said, own = JSON_KEY, config.tokenizer_json_sha256, tokenizer.json_digest
    if said not in (None, own):
        source, config_flag, vocabulary_flag = sources
        other = f", or leave {config_flag} out" if config_flag else ""
        raise ValueError(
            f"{_named(tokenizer.vocabulary, vocabulary_flag)} is not the vocabulary that "
            f"{_named(source, config_flag)} was saved with, as its {key} tells: give the "
            f"{tokenizer.saved_as} that was saved with it{other}; or, if it was changed on purpose, take "
            f"{key} out of {source}"
        )


def _named(path: Path, flag: str | None) -> str:
    return f"{path} ({flag})" if flag else str(path)
