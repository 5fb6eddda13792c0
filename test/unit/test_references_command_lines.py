"""The command lines of the references' scripts run as they stand, but for the small data."""

import re
import shutil
import sys

import pytest
from helpers import ROOT, accuracy, command, launch, records

from tools.run.flags import parse_flags

# Of a launcher of the Ascend adaptation: what it passes, with a smaller batch and fewer steps.
ASCEND = (
    "--device=cpu --model_type=SST --model_name_or_path={model}/ --task_name=SST-2 --data_dir={data}/ "
    "--spm_model_file={model}/30k-clean.model --output_dir=./outputs/SST-2/ --do_train --do_eval "
    "--do_lower_case --max_seq_length=32 --batch_size=8 --learning_rate=28e-5 --num_train_epochs=2.0 "
    "--logging_steps=80 --save_steps=80 --device-id 0 --overwrite_output_dir --seed=42 --fp16 "
    "--fp16_opt_level=O2 --loss_scale=128.0 --max_steps=3"
)
# Of a script of albert_pytorch.
PYTORCH = (
    "--model_type=albert --model_name_or_path={model} --task_name=sst-2 --do_train --do_eval "
    "--do_lower_case --data_dir={data}/ --max_seq_length=32 --per_gpu_train_batch_size=16 "
    "--per_gpu_eval_batch_size=4 --vocab_file={model}/30k-clean.vocab "
    "--spm_model_file={model}/30k-clean.model --learning_rate=1e-5 --num_train_epochs=3.0 "
    "--logging_steps=4210 --save_steps=4210 --output_dir=./outputs/sst-2_output/ "
    "--overwrite_output_dir --seed=42 --cache_dir=/tmp --server_ip=127.0.0.1 --server_port=5678 "
    "--evaluate_during_training --no_cuda --max_steps=3"
)


@pytest.mark.parametrize(
    ("line", "folder"), [(ASCEND, "SST-2"), (PYTORCH, "sst-2_output")], ids=["ascend", "pytorch"]
)
def test_the_command_lines_of_the_references_run(line, folder, sst2, pretrained, tmp_path):
    words = line.format(model=pretrained, data=sst2).split()
    result = command(sys.executable, ROOT / "run_classifier.py", *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(accuracy(result.stdout)) == 1
    assert (tmp_path / "outputs" / folder / "model.safetensors").is_file()
    # What does nothing is said, once each; the word for ALBERT is not worth a line.
    vain = result.stdout.count(" nothing here: ")
    assert vain == (3 if line == PYTORCH else 0), result.stdout


def test_the_references_names_are_other_spellings(sst2):
    flags = parse_flags(["--do_train", "--per_gpu_train_batch_size=3"])
    assert (flags.training.batch_size, flags.goals.eval_batch_size) == (3, 3)
    flags = parse_flags(["--do_eval", "--per_gpu-eval-batch-size", "5", "--model_type="])
    assert (flags.training.batch_size, flags.goals.eval_batch_size) == (8, 5)


def test_scoring_has_a_batch_size_of_its_own(run_classifier, sst2, tmp_path):
    """No score depends on it; the memory does, and the number of batches."""
    flags = ("--data_dir", sst2, "--output_dir", "out", "--padding", "max_length")
    assert run_classifier(*flags, "--do_train", "--max_steps", "6").returncode == 0
    code = (
        "import sys, run_classifier, tools.run.scoring as s\n"
        "plan = s.plan_evaluation\n"
        "s.plan_evaluation = lambda *a: print('batches', len(plan(*a))) or plan(*a)\n"
        "sys.exit(run_classifier.run_program(sys.argv[1:]))\n"
    )
    found = []
    for size in ("10", "30"):
        words = ("--do_eval", "--batch_size", "8", "--eval_batch_size", size)
        result = command(
            sys.executable, "-c", code, *flags, *words, "--device", "cpu", "--max_seq_length", "32",
            cwd=tmp_path, PYTHONPATH=str(ROOT),
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        found.append((f"batches {30 // int(size)}" in result.stdout, accuracy(result.stdout)))
    assert found == [(True, found[0][1])] * 2


def test_a_vocabulary_may_be_named_as_in_the_references(
    run_classifier, refused, sst2, pretrained, tmp_path
):
    flags = ("--data_dir", sst2, "--output_dir", "out", "--do_train", "--max_steps", "1")
    shutil.copy(pretrained / "spiece.model", tmp_path / "words.model")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    line = refused(*flags, "--vocab_file", "30k-clean.vocab", status=2)
    assert "30k-clean.vocab lists the pieces of a SentencePiece model" in line
    line = refused(*flags, "--vocab_file", "vocab.txt", status=1)
    assert "vocab.txt has no [CLS]: it is no WordPiece vocabulary of an ALBERT; give" in line
    line = refused(*flags, "--vocab_file", "no.model", status=2)
    assert "no.model is missing (--vocab_file)" in line
    line = refused(*flags, "--spm_model_file", "no/30k-clean.model", status=2)
    assert "no vocabulary in no: looked for spiece.model, 30k-clean.model, v" in line
    bare = tmp_path / "bare"
    shutil.copytree(pretrained, bare)
    (bare / "spiece.model").unlink()
    result = run_classifier(*flags, "--model_name_or_path", bare, "--vocab_file", "words.model")
    assert result.returncode == 0, result.stderr
    assert len(records(tmp_path / "out", "step")) == 1


def words_after(key, lines):
    """Return the first word behind ``key = `` of each line that a grep for ``key`` finds."""
    return [line.partition(f"{key} = ")[2].split()[0] for line in lines if key in line]


def test_the_log_has_the_words_that_others_look_for(run_classifier, sst2, tmp_path):
    flags = ("--data_dir", sst2, "--output_dir", "out", "--do_train", "--do_eval", "--max_steps", 12,
             "--save_steps", 7, "--logging_steps", 5, "--gradient_accumulation_steps", 2)  # fmt: skip
    result = run_classifier(*flags, "--padding", "longest")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    start = lines.index("***** Running training *****")
    assert lines[start + 1 : start + 7] == [
        "  Num examples = 160",
        "  Num Epochs = 2",
        "  Instantaneous batch size per GPU = 8",
        "  Total train batch size (w. parallel, distributed & accumulation) = 16",
        "  Gradient Accumulation steps = 2",
        "  Total optimization steps = 12",
    ]
    losses = [record["loss"] for record in records(tmp_path / "out", "step")]
    (average,) = re.findall(
        r"^ global_step = 12, average loss = (.*)$", result.stdout, re.MULTILINE
    )
    assert float(average) == pytest.approx(sum(losses) / 12, rel=1e-5)
    saved = [line for line in lines if line.startswith("Saving model checkpoint to ")]
    assert [line.split()[-1] for line in saved] == ["out/checkpoint-7", "out"]
    measured = re.findall(r"^ FPS = ([\d.]+)  padding = longest$", result.stdout, re.MULTILINE)
    assert len(measured) == 2
    # The references' launchers take the largest FPS, and the accuracy in the last line that has the word.
    assert words_after("FPS", lines) == measured
    last = [line for line in lines if "acc" in line][-1:]
    assert words_after("acc", last) == [str(accuracy(result.stdout)[-1])]
    resumed = run_classifier(*flags, "--padding", "longest", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "  optimizer steps = 12, done = 7" in resumed.stdout
    rest = re.search(r"^ global_step = 12, average loss = (.*)$", resumed.stdout, re.MULTILINE)[1]
    assert float(rest) == pytest.approx(sum(losses[7:]) / 5, rel=1e-5)


def test_a_launcher_reports_the_padding_that_it_measured(clone):
    flags = ("--device=cpu", "--batch_size=8", "--", "--max_seq_length=32", "--max_steps=9")
    result = launch(clone, "train_performance_1p.sh", *flags, "--padding=max_length")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Final Performance padding : max_length" in result.stdout.splitlines()
    case = clone / "test" / "output" / "0" / "albert_ID0335_for_PyTorch_bs8_1p_perf.log"
    assert "\nPadding = max_length\n" in case.read_text()
