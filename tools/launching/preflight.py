"""What every process of a run would find by itself, found once, before any of them starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.configuration_albert import AlbertConfig
from model.vocabulary import Sources, check_same_vocabulary, load_tokenizer
from tools.cli.errors import UsageError
from tools.cli.paths import PROGRAM
from tools.run.data_flags import inputs_of
from tools.run.flags import parse_flags
from tools.run.hub_inputs import with_folders
from tools.run.inputs import check_sizes, find_inputs
from tools.run.output_dir import check_output_dir, open_output_dir, tidy_output_dir
from tools.run.seed_runs import ONE_PROCESS
from tools.run.trackers import check_trackers


def check_run(program: Sequence[str], writes: bool, restarts: bool) -> None:
    """Check the flags, the files and the output folder of a run; of another program that it is there.

    Wrong flags end this process with one line and exit status 2, and --help with the help.

    Args:
        program: the program and its flags.
        writes: whether the process that writes is one of this machine's.
        restarts: whether the processes are started again where one fails.

    Raises:
        UsageError, ValueError: the run could not start; as what is called here.
    """
    script = Path(program[0])
    # A flag is one of torchrun's, for a module (-m) or what is no Python.
    if not (program[0].startswith("-") or script.is_file() or (script / "__main__.py").is_file()):
        raise UsageError(
            f"{script} is no file: give the program to start, then its flags, after --"
        )
    if script.resolve() != PROGRAM:
        return
    flags = with_folders(parse_flags(program[1:]))
    if flags.goals.seeds:
        raise UsageError(ONE_PROCESS)
    output_dir, trains = flags.records.output_dir, flags.goals.do_train
    writes = writes and not flags.goals.dry_run
    if writes and not trains:  # The model to score may be what a killed run left.
        tidy_output_dir(output_dir)
    files = find_inputs(flags)
    config = AlbertConfig.from_file(files.config, is_scored=not trains)
    longest, _ = inputs_of(config, flags.inputs.max_seq_length, flags.inputs.truncation)
    check_sizes(config, flags.task, longest)
    if files.weights:
        tokenizer = load_tokenizer(files.vocabulary, flags.inputs.do_lower_case)
        sources = Sources(files.config, files.config_flag, files.vocabulary_flag)
        check_same_vocabulary(config, tokenizer, sources)
    resumes = flags.records.resume
    if restarts and trains and not resumes:
        raise UsageError(
            "--max_restarts needs --resume among the program's flags: else a run that is started again "
            "finds what it left itself, and refuses to train over it"
        )
    if writes:
        check_trackers(flags.records.report_to)
        with open_output_dir(flags):
            if not resumes:  # Which of its checkpoints are whole takes a resumed run time to tell.
                check_output_dir(flags, files.weights, resumes=False)
