"""The process of one contender: python -m tools.bench.worker SPEC

A line ``start``, ``prepare`` or ``turn`` on standard input is answered by a line of JSON on standard
output; the end of the input ends it. So each contender's memory is its own, and it idles while others
take their turns.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: keeps torch from loading an accelerator's package by itself)

# isort: split
import torch

from tools.bench.session import open_session
from tools.bench.spec import read_spec
from tools.cli.errors import FAILURE_STATUS, error_line


def main(spec: Path, debug: bool) -> int:
    """Answer until there are no more questions; returns the exit status."""
    # What libraries print must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    try:
        contender, setting = read_spec(spec)
        torch.set_num_threads(setting.threads)
        if contender.system == "hf":  # while other workers start, too
            import transformers.models.albert.modeling_albert  # noqa: F401
        for line in sys.stdin:
            question, answer = line.strip(), {}
            if question == "prepare":
                session = open_session(contender, setting)
                answer = session.prepare()
            elif question == "turn":
                answer = session.turn()
            print(json.dumps(answer), file=answers)
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(error_line(error), file=sys.stderr)
        return FAILURE_STATUS
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), "--debug" in sys.argv))
