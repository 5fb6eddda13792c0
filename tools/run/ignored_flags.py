"""Flags of the references that change nothing here: accepted, so that their command lines run."""

from __future__ import annotations

from dataclasses import dataclass

from tools.cli.groups import flag
from tools.cli.parser import any_word


@dataclass(frozen=True)
class IgnoredFlags:
    """What the references' command lines say and a run does not need to know.

    ``model_type`` is any word: the references' launchers pass ``SST``, and it means ALBERT there, too.
    ``noted`` are remarks on flags that were given by the names of another system.
    """

    noted: tuple[str, ...]

    model_type: str = flag("albert", "any word; the model is ALBERT", type=any_word, metavar="WORD")
    cache_dir: str | None = flag(
        None,
        "keeps models of the hub; of others nothing is downloaded",
        type=any_word,
        metavar="DIR",
    )
    server_ip: str | None = flag(None, "a run waits for no debugger", type=any_word, metavar="HOST")
    server_port: str | None = flag(None, "as --server_ip", type=any_word, metavar="PORT")
    evaluate_during_training: bool = flag(False, "--do_eval does so: see --eval_steps")

    @property
    def remarks(self) -> list[str]:
        """One line on each flag that the user gave in vain, with what does its work."""
        remarks = list(self.noted)
        if self.cache_dir:
            remarks.append(
                "--cache_dir does nothing here: it is for models of the hub, and none is named"
            )
        if self.server_ip or self.server_port:
            remarks.append(
                "--server_ip and --server_port do nothing here: python -m debugpy --listen HOST:PORT "
                "run_classifier.py … lets a debugger in"
            )
        if self.evaluate_during_training:
            remarks.append(
                "--evaluate_during_training does nothing here: --do_eval scores after each epoch, or "
                "every --eval_steps"
            )
        return remarks
