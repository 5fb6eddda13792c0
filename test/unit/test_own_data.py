"""What a task of one's own is trained with, where no flag says so."""

import re

import pytest
import torch
from helpers import records
from small_albert import small_albert

from tools.run.flags import parse_flags
from tools.run.own_data import with_training_defaults
from tools.run.start import Start

OWN = ("--task_name", "custom", "--do_train", "--train_file", "t.csv", "--text_columns", "text")
OWN += ("--label_column", "label")


def settle(examples, *flags, trained=False, processes=1):
    model = small_albert()
    if trained:
        with torch.no_grad():
            next(m for m in model.modules() if isinstance(m, torch.nn.LayerNorm)).bias += 1e-4
    start = Start(None, None, {"train": [range(examples)]}, model)
    found = with_training_defaults(parse_flags([*OWN, *flags]), start, processes).training
    return found.learning_rate, found.num_train_epochs


@pytest.mark.parametrize(
    ("examples", "epochs"), [(30, 30), (200, 30), (600, 10), (601, 10), (2000, 3), (67_000, 3)]
)
def test_small_tables_have_their_steps_in_more_epochs(examples, epochs):
    assert settle(examples) == (3e-3, epochs)
    assert settle(examples, trained=True) == (1e-3, epochs)


def test_a_batch_is_that_of_all_processes():
    assert settle(2000, "--batch_size=4", processes=4) == (3e-3, 6)
    assert settle(2000, "--gradient_accumulation_steps=2") == (3e-3, 6)


def test_what_a_flag_says_stays():
    assert settle(600, "--learning_rate=0") == (0, 10)
    assert settle(600, "--num_train_epochs=2.5") == (3e-3, 2.5)
    assert settle(600, "--optimizer=adamw") == (5e-5, 10)
    glue = parse_flags(["--task_name", "sst-2", "--do_train"])
    assert (glue.training.learning_rate, glue.training.num_train_epochs) == (5e-5, 3.0)
    assert with_training_defaults(glue, None, 1) is glue


def test_the_log_says_what_was_chosen_and_a_resumed_run_has_it_too(
    run_classifier, pretrained, tmp_path
):
    rows = "".join(f"text {n % 7},{'ab'[n % 2]}\n" for n in range(40))
    (tmp_path / "t.csv").write_text("text,label\n" + rows)
    flags = (*OWN, "--model_name_or_path", pretrained, "--save_steps=10", "--batch_size=20")
    flags += ("--max_seq_length=16", "--output_dir=out")
    first = run_classifier(*flags, "--max_steps=10")
    assert first.returncode == 0, first.stderr
    assert "for 40 examples: --learning_rate 0.003, unless flags say otherwise" in first.stdout
    flags += ("--lr_schedule=constant", "--warmup_proportion=0")
    first = run_classifier(*flags, "--num_train_epochs=5", "--overwrite_output_dir")
    assert first.returncode == 0, first.stderr
    # The checkpoint's model is trained, and would have another rate.
    more = run_classifier(*flags, "--num_train_epochs=6", "--resume")
    assert more.returncode == 0, more.stderr
    assert "for 40 examples: --learning_rate 0.003, unless" in more.stdout
    assert max(record["step"] for record in records(tmp_path / "out", "step")) == 12
    assert not re.search(r"num_train_epochs \d", more.stdout)
