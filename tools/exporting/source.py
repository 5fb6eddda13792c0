"""The folder that is exported: its model, and what its training left beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from model.configuration_albert import AlbertConfig
from model.file_names import CONFIG_NAME
from model.tokenizer import Tokenizer
from model.vocabulary import Sources, check_vocabulary, find_vocabulary, load_tokenizer
from tools.results.run_folder import RunFolder
from tools.run.data_flags import inputs_of
from tools.run.output_dir import output_folder_of, training_arguments
from tools.run.trained import check_trained


@dataclass(frozen=True)
class Source:
    """A trained model's folder.

    Attributes:
        config: of the model, with the length of its inputs and what stays of longer ones.
    """

    folder: Path
    config: AlbertConfig
    tokenizer: Tokenizer

    @classmethod
    def open(cls, folder: Path) -> Source:
        """Return the source in ``folder``, which ``--model`` names.

        Raises:
            UsageError, OSError, ValueError: it holds no trained classifier, or parts that do not fit.
        """
        check_trained(folder, "--model")
        config = AlbertConfig.from_file(folder, is_scored=True)
        tokenizer = load_tokenizer(find_vocabulary(folder))
        check_vocabulary(config, tokenizer, Sources(folder / CONFIG_NAME))
        config.set_inputs(*inputs_of(config, None, None))
        return cls(folder, config, tokenizer)

    @cached_property
    def run(self) -> RunFolder:
        """What the training left, in the folder itself or, of a checkpoint, in the one above it."""
        return RunFolder(output_folder_of(self.folder))

    @cached_property
    def flags(self) -> Mapping[str, Any]:
        """The flags of the training by their names; none where nothing tells them."""
        said = self.run.run.get("flags")
        return said if isinstance(said, dict) else training_arguments(self.folder)

    @property
    def is_final(self) -> bool:
        """Whether it is the model that the run ended with, and not one of its checkpoints."""
        return self.run.path == self.folder.resolve()
