"""The flags of transformers' run_glue.py mean the same here, or are refused with the name of ours."""

import shlex
import sys

import pytest
from helpers import ROOT, accuracy, command, records

from tools.run.flags import parse_flags

TRAIN = "--do_train --do_eval"
# What is learned there where no flag says otherwise.
DEFAULTS = "--optim adamw_torch --warmup_ratio 0 --adam_epsilon 1e-8"


def same(theirs, ours):
    given, wanted = (parse_flags(shlex.split(line)) for line in (theirs, ours))
    return given.as_dict() == wanted.as_dict(), given.ignored.remarks


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("--per_device_train_batch_size 4 --per-device-eval-batch-size=6",
         "--batch_size 4 --eval_batch_size 6"),
        ("--task_name STSB", "--task_name sts-b"),
        ("--fp16 True --bf16 no --drop_last --dataloader_drop_last=false", "--fp16"),
        ("--lr_scheduler_type constant", "--lr_schedule constant --warmup_proportion 0"),
        ("--lr_scheduler_type constant_with_warmup --warmup_ratio 0.2",
         "--lr_schedule constant --warmup_proportion 0.2"),
        ("--lr_scheduler_type cosine_with_restarts --warmup_steps 0", "--lr_schedule cosine"),
        ("--evaluation_strategy epoch --eval_steps 7", ""),
        ("--eval_strategy steps --logging_steps 50", "--eval_steps 50 --logging_steps 50"),
        ("--eval_strategy no", f"--eval_steps {2**31}"),
        ("--save_strategy no", "--save_steps 0"),
        ("--save_strategy steps", "--save_steps 500"),
        ("--save_strategy epoch --save_total_limit 3",
         "--save_steps 0 --save_epochs --save_total_limit 3"),
        ("--resume_from_checkpoint True", "--resume"),
        ("--load_best_model_at_end --metric_for_best_model accuracy", "--keep best"),
        ("--load_best_model_at_end False", "--keep last"),
        ("--pad_to_max_length --use_cpu", "--padding max_length --device cpu"),
        ("--max_train_samples 9 --dataloader_num_workers 1", "--max_train_examples 9 --workers 1"),
        ("--label_smoothing_factor 0.1 --half_precision_backend apex", "--label_smoothing 0.1"),
        ("--fp16 --fp16_backend cuda_amp", "--fp16 --amp_backend native"),
        ("--tf32 True --push_to_hub False --metric_for_best_model eval_accuracy", ""),
        (
            "--train_file a.csv --validation_file b.csv --text_column_names t --do_regression",
            "--task_name custom --train_file a.csv --dev_file b.csv --text_columns t --regression",
        ),
    ],
)  # fmt: skip
def test_a_name_has_the_same_meaning(theirs, ours):
    assert same(f"{TRAIN} {DEFAULTS} {theirs}", f"{TRAIN} --optimizer adamw --warmup_proportion 0 "
                f"--adam_epsilon 1e-8 {ours}")[0]  # fmt: skip


def test_what_does_nothing_and_other_defaults_are_remarked():
    equal, remarks = same(f"{TRAIN} --run_name x --ignore_mismatched_sizes", TRAIN)
    assert equal
    said = "\n".join(remarks)
    assert "--run_name does nothing here: a run is called as its --output_dir is" in said
    assert (
        "speaks: --optimizer adamw, --warmup_proportion 0, --adam_epsilon 1e-8, --keep last" in said
    )
    assert "do_train" not in said
    assert same(
        f"{TRAIN} {DEFAULTS} --keep best --optim lamb",
        f"{TRAIN} --warmup_proportion 0 --adam_epsilon 1e-8",
    ) == (True, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--push_to_hub", "--push_to_hub is not taken here: hf upload OWNER/NAME"),
        ("--token hf_secret", "--token is not taken here: HF_TOKEN in the environment"),
        ("--warmup_steps 100", "--warmup_steps 100 is not taken here: --warmup_proportion X"),
        ("--tf32 False", "--tf32 false is not taken here: a GPU computes"),
        ("--max_eval_samples 9", "name a smaller file with --task_name custom --dev_file"),
        ("--lr_scheduler_type polynomial", "--lr_schedule has what these are: linear, cosine"),
        ("--optim sgd", "--optim sgd is not taken here: --optimizer has other rules"),
        ("--save_strategy best", "is not taken here: --keep best keeps the best model"),
        ("--metric_for_best_model loss", "the task's first metric, acc"),
        ("--resume_from_checkpoint out/checkpoint-5", "--resume goes on from the last checkpoint"),
        ("--text_column_names a,b", "--text_columns A,B makes pairs"),
        ("--fp16=maybe", "argument --fp16"),
    ],
)
def test_what_is_otherwise_is_refused_with_our_name(refused, words, said):
    line = refused("--do_train", *shlex.split(words), status=2)
    assert said in line
    assert "hf_secret" not in line


def test_the_last_checkpoint_may_be_named(tmp_path):
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
    words = ["--do_train", "--output_dir", str(tmp_path), "--resume_from_checkpoint"]
    assert parse_flags([*words, f"{tmp_path}/checkpoint-10/"]).records.resume
    with pytest.raises(SystemExit):
        parse_flags([*words, f"{tmp_path}/checkpoint-5"])


def test_a_whole_command_line_runs_as_it_stands(sst2, pretrained, tmp_path):
    """As transformers documents it, with a small model and few steps."""
    line = (
        f"--model_name_or_path {pretrained} --task_name sst2 --do_train --do_eval "
        "--max_seq_length 32 --per_device_train_batch_size 32 --learning_rate 2e-5 "
        "--num_train_epochs 2 --output_dir result/sst2/ --save_strategy epoch --use_cpu"
    )
    words = line.split()
    result = command(sys.executable, ROOT / "run_classifier.py", *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(accuracy(result.stdout)) == 3  # After each epoch, and the best one again.
    assert len(records(tmp_path / "result" / "sst2", "step")) == 10
    assert (tmp_path / "result" / "sst2" / "checkpoint-5").is_dir()
