"""run_classifier.py as its users call it: real processes, real files."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from helpers import ROOT, accuracy, command, one_line_error, records, write_sst2
from safetensors.torch import load_file

from processors.intervals import wilson
from tools.results.run_folder import RunFolder

LEARN = ("--learning_rate", "5e-3", "--optimizer", "adamw", "--num_train_epochs", "8")


def test_train_evaluate_predict_and_load_again(run_classifier, sst2, tmp_path):
    flags = ("--task_name", "sst-2", "--data_dir", sst2, "--output_dir", "out")
    trained = run_classifier(*flags, "--do_train", "--do_eval", *LEARN)
    assert trained.returncode == 0, trained.stderr
    assert accuracy(trained.stdout)[-1] > 0.9
    assert trained.stdout.count(" FPS = ") == 8
    # After each epoch, and the best model once more.
    assert len(accuracy(trained.stdout)) == 9
    out = tmp_path / "out"
    assert len(records(out, "step")) == 160  # every step's loss, not only the logged ones
    # FPS leaves out what is no training, so it is at least examples over time, all things counted.
    took = float(trained.stdout.partition("training took ")[2].split()[0])
    best = max(record["fps"] for record in records(out, "epoch"))
    assert 160 * 8 / took < best < 100 * 160 * 8 / took
    assert records(out, "step")[-1]["loss"] < records(out, "step")[0]["loss"]
    assert [record["examples"] for record in records(out, "eval")] == [30] * 9
    # What the model says of each example is kept, and the figures follow from it.
    said, final = RunFolder(out).dev_predictions(), records(out, "eval")[-1]
    rows = (sst2 / "dev.tsv").read_text().splitlines()[1:]
    assert [f"{record['text']}\t{record['label']}" for record in said] == rows
    assert [record["id"] for record in said] == list(range(2, 32))  # after the header
    hits = sum(record["prediction"] == record["label"] for record in said)
    low, high = final["intervals"]["acc"]
    assert (hits / 30, wilson(hits, 30)) == (final["acc"], (low, high))
    odds = [record["probabilities"][record["label"]] for record in said]
    assert final["loss"] == pytest.approx(-np.log(odds).mean())
    shown = f"  acc is {hits / 30:.3f} ± {(high - low) / 2:.3f} (95 % interval {low:.3f} to {high:.3f}, 30"
    assert trained.stdout.count(f"{shown} examples)\n") == 1
    assert {record["tokens"] for record in said if record["cut"]} == {32}  # as --max_seq_length
    assert max(record["tokens"] for record in said if not record["cut"]) <= 32

    again = run_classifier(*flags, "--do_eval", "--do_predict")
    assert again.returncode == 0, again.stderr
    assert accuracy(again.stdout) == accuracy(trained.stdout)[-1:]
    assert f"acc = {accuracy(trained.stdout)[-1]}" in (out / "eval_results.txt").read_text()
    submission = (out / "predictions" / "SST-2.tsv").read_text().splitlines()
    assert submission[0] == "index\tprediction"
    assert [line.split("\t")[0] for line in submission[1:]] == [str(i) for i in range(10)]
    for line in (out / "predictions" / "SST-2.jsonl").read_text().splitlines():
        record = json.loads(line)
        probabilities = record["probabilities"]
        assert sum(probabilities.values()) == pytest.approx(1)
        assert probabilities[record["prediction"]] == max(probabilities.values())


def test_regression_end_to_end(run_classifier, stsb, tmp_path):
    flags = ("--task_name", "STS-B", "--data_dir", stsb, "--output_dir", "out", "--batch_size", "7")
    trained = run_classifier(*flags, "--do_train", "--do_eval", "--do_predict", *LEARN)
    assert trained.returncode == 0, trained.stderr
    final = records(tmp_path / "out", "eval")[-1]
    assert {"pearson", "spearmanr", "corr"} <= final.keys()
    assert f"  pearson = {final['pearson']}" in trained.stdout
    said = RunFolder(tmp_path / "out").dev_predictions()
    labels, scores = (np.array([record[name] for record in said]) for name in ("label", "score"))
    assert np.corrcoef(labels, scores)[0, 1] == pytest.approx(final["pearson"], abs=1e-5)
    assert final["loss"] == pytest.approx(np.square(labels - scores).mean(), rel=1e-5)
    assert {"text_a", "text_b"} < said[0].keys()
    for name in ("pearson", "spearmanr", "corr", "mae", "rmse"):
        low, high = final["intervals"][name]
        assert low < final[name] < high
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["problem_type"] == "regression"
    assert len((tmp_path / "out" / "predictions" / "STS-B.tsv").read_text().splitlines()) == 11
    again = run_classifier(*flags, "--do_eval")
    assert f"  pearson = {final['pearson']}" in again.stdout


def test_the_command_of_the_documentation_needs_only_its_default_folders(tmp_path, pretrained):
    write_sst2(tmp_path / "dataset" / "SST-2")
    shutil.copytree(pretrained, tmp_path / "prev_trained_model" / "albert_base_v2")
    line = ["run_classifier.py", "--task_name", "sst-2", "--do_train", "--fp16"]
    result = command(
        sys.executable,
        ROOT / line[0],
        *line[1:],
        "--max_seq_length=64",
        "--max-steps=3",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "outputs" / "SST-2" / "model.safetensors").is_file()


def test_missing_files_are_one_line_with_the_remedy(tmp_path):
    result = command(
        sys.executable, ROOT / "run_classifier.py", "--do_train", "--fp16", cwd=tmp_path
    )
    line = one_line_error(result.returncode, result.stderr, 2)
    assert "dataset/SST-2/train.tsv" in line
    assert "prev_trained_model/albert_base_v2" in line
    folders = "--data_path dataset --model_path prev_trained_model"
    assert line.endswith(f"python {ROOT}/tools/download.py sst-2 albert_base_v2 {folders}")
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--do_train, --do_eval or --do_predict"),
        (["--do_train", "--batch_size", "0"], "--batch_size"),
        (["--do_train", "--learning-rate=fast"], "'fast' is no number"),
        (["--do_train", "--task_name", "cola2"], "'cola2' is not one of cola, mnli"),
        (["--do_train", "--epochs", "3"], "--epochs"),
        (["--do_train", "--resume", "--overwrite_output_dir"], "contradict"),
        (["--do_train", "--stop_point", "0.9"], "--stop_point needs --do_eval"),
        (["--do_train", "--eval_steps", "9"], "--eval_steps needs --do_eval"),
        (["--do_train", "--eval_all_checkpoints"], "--eval_all_checkpoints needs --do_eval"),
        (["--do_eval", "--resume"], "--resume needs --do_train"),
        (["--do_eval", "--random_init"], "--random_init needs --do_train"),
        (["--do_eval", "--save_format=albert_pytorch"], "--save_format needs --do_train"),
        (["--do_train", "--loss_scale=128"], "--loss_scale 128.0 is about --fp16: give that, too"),
        (["--do_train", "--fp16_opt_level=O2"], "--fp16_opt_level O2 is about --fp16"),
        (["--do_train", "--bf16", "--fp16_opt_level=O3"], "--bf16 has no --fp16_opt_level O3"),
        (["--do_train", "--bf16", "--loss_scale=8"], "--loss_scale 8.0 is about --fp16"),
        (["--do_train", "--amp_backend=native"], "--amp_backend native is about --fp16"),
        (["--do_train", "--fp16", "--bf16"], "--fp16 and --bf16 contradict each other"),
        (["--do_train", "--workers=10000"], "--workers=10000, but there are "),
        (["--do_train", "--do_lower_case", "--no_do_lower_case"], "contradict each other"),
        (
            ["--do_train", "--save_steps=0", "--save_total_limit=3"],
            "and --save_steps 0 writes none: give --save_steps=N as well, or leave it out",
        ),
        (["--do_eval", "--save_total_limit=3"], "--save_total_limit needs --do_train"),
        (["--do_eval", "--gradient_checkpointing"], "--gradient_checkpointing needs --do_train"),
        (["--do_train", "--tokenizer_name=a", "--spm_model_file=b"], "both name the vocabulary"),
        (
            ["--do_train", "--fp16", "--amp_backend=apex"],
            "--amp_backend apex: apex computes in fp16, and cpu",
        ),
        (["--do_train", "--data_dir=no"], "no/train.tsv is missing"),
        (
            ["--do_train", "--config_name=no"],
            "in no (--config_name): correct that, or leave it out",
        ),
        (
            ["--do_train", "--tokenizer_name=no"],
            "(--tokenizer_name): correct that, or leave it out",
        ),
        (
            ["--do_train", "--spm_model_file=no"],
            "no is missing (--spm_model_file): correct that, or",
        ),
        (["--do_train", "--output_dir", ""], "--output_dir: its value is empty: give it one, or"),
        (["--do_train", "--data_dir="], "--data_dir: its value is empty"),
        (["--do_train", "--model_name_or_path="], "--model_name_or_path: its value is empty"),
        (["--do_train", "--log_dir="], "--log_dir: its value is empty"),
        (["--do_train", "--config_name", ""], "--config_name: its value is empty"),
        (
            ["--do_train", "--max_seq_length", "65"],
            "--max_seq_length 65 is more than the model's 64",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(refused, sst2, flags, words):
    assert words in refused("--data_dir", sst2, *flags, status=2)


def test_a_program_that_is_refused_says_one_line(run_classifier, sst2):
    result = run_classifier("--data_dir", sst2, "--do_train", "--batch_size=0")
    assert "--batch_size" in one_line_error(result.returncode, result.stderr, 2)


def test_a_bad_line_of_data_is_named(refused, sst2):
    with (sst2 / "train.tsv").open("a") as file:
        file.write("no label here\n")
    line = refused("--data_dir", sst2, "--do_train", status=1)
    assert f"{sst2 / 'train.tsv'}, line 162: 1 tab-separated columns, not 2" in line


def test_debug_shows_the_traceback(run_classifier, tmp_path):
    result = run_classifier("--data_dir", tmp_path / "nowhere", "--do_train", "--debug")
    assert result.returncode != 0
    assert "Traceback" in result.stderr


def test_evaluation_needs_a_trained_model(refused, sst2):
    line = refused("--data_dir", sst2, "--do_eval", status=2)
    assert "there is no trained model" in line


def test_an_earlier_run_is_kept_unless_asked_and_then_set_aside(
    run_classifier, refused, sst2, tmp_path
):
    flags = ("--data_dir", sst2, "--output_dir", "out", "--do_train", "--max_steps", "2")
    assert run_classifier(*flags, "--save_steps", "1").returncode == 0
    out = tmp_path / "out"
    (out / "notes.txt").write_text("mine")
    first = (out / "model.safetensors").read_bytes()
    assert "--overwrite_output_dir" in refused(*flags, status=2)
    assert (out / "model.safetensors").read_bytes() == first

    again = run_classifier(*flags, "--overwrite_output_dir", "--seed", "7")
    assert again.returncode == 0, again.stderr
    assert (out / "previous" / "1" / "model.safetensors").read_bytes() == first
    assert (out / "previous" / "1" / "checkpoint-1").is_dir()
    assert not (out / "checkpoint-1").exists()
    assert (out / "model.safetensors").read_bytes() != first
    assert (out / "notes.txt").read_text() == "mine"


def test_failed_runs_do_not_cost_a_good_one(run_classifier, refused, sst2, tmp_path):
    flags = ("--data_dir", sst2, "--output_dir", "out", "--do_train", "--max_steps", "2")
    assert run_classifier(*flags).returncode == 0
    good = (tmp_path / "out" / "model.safetensors").read_bytes()
    for _ in range(2):
        result = run_classifier(*flags, "--overwrite_output_dir", "--adam_epsilon", "1e-45",
                                "--learning_rate", "1e38", "--max_steps", "9")  # fmt: skip
        assert "the loss is nan at step" in one_line_error(result.returncode, result.stderr, 1)
    found = [f for f in (tmp_path / "out").rglob("model.safetensors") if f.read_bytes() == good]
    assert found == [tmp_path / "out" / "previous" / "1" / "model.safetensors"]
    # A run that fails before it trains moves nothing at all.
    new = ("--output_dir", "new")
    line = refused(*flags, *new, "--drop_last", "--batch_size", "1000", status=1)
    assert "lower --batch_size or leave out --drop_last" in line
    assert run_classifier(*flags, "--output_dir", "new").returncode == 0


def test_a_model_in_the_output_folder_is_not_trained_over(run_classifier, refused, sst2, tmp_path):
    flags = ("--data_dir", sst2, "--output_dir", "out", "--do_train", "--max_steps", "2")
    assert run_classifier(*flags, "--save_steps", "1").returncode == 0
    start = ("--model_name_or_path", tmp_path / "out" / "checkpoint-1", "--overwrite_output_dir")
    assert "is in --output_dir" in refused(*flags, *start, status=2)
    assert (tmp_path / "out" / "checkpoint-1").is_dir()


def test_a_resumed_run_ends_with_the_weights_of_one_without_a_stop(run_classifier, sst2, tmp_path):
    flags = ("--data_dir", sst2, "--do_train", "--save_steps", "5", "--max_steps", "12",
             "--gradient_accumulation_steps", "2", "--learning_rate", "1e-2")  # fmt: skip
    assert run_classifier(*flags, "--output_dir", "straight").returncode == 0
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    shutil.copytree(straight / "checkpoint-5", stopped / "checkpoint-5")
    # A later checkpoint that a full disk cut off must not be taken.
    shutil.copytree(straight / "checkpoint-10", stopped / "checkpoint-10")
    (stopped / "checkpoint-10" / "training_state.pt").write_bytes(b"half")
    resumed = run_classifier(*flags, "--output_dir", "stopped", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "checkpoint-10 is left out" in resumed.stdout
    assert "done = 5" in resumed.stdout
    ends = [load_file(folder / "model.safetensors") for folder in (straight, stopped)]
    for key, value in ends[0].items():
        assert torch.equal(ends[1][key], value), key


def test_resuming_with_other_flags_is_refused(run_classifier, refused, sst2):
    flags = ("--data_dir", sst2, "--output_dir", "out", "--do_train", "--save_steps", "2")
    assert run_classifier(*flags, "--max_steps", "4").returncode == 0
    line = refused(*flags, "--max_steps", "4", "--resume", "--batch_size", "4", status=2)
    assert "global batch was 8 there and is 4 now" in line


def test_gradient_checkpointing_learns_the_same(run_classifier, sst2, tmp_path):
    losses = []
    for name, flags in (("plain", ()), ("checkpointed", ("--gradient_checkpointing",))):
        flags += ("--data_dir", sst2, "--output_dir", name, "--do_train", "--max_steps", 5)
        result = run_classifier(*flags)
        assert result.returncode == 0, result.stderr
        losses.append([record["loss"] for record in records(tmp_path / name, "step")])
    assert len(losses[0]) == 5
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)


def test_every_checkpoint_is_scored_where_asked(run_classifier, sst2, tmp_path):
    flags = ("--data_dir", sst2, "--output_dir", "out")
    trained = run_classifier(*flags, "--do_train", "--save_steps", "2", "--max_steps", "5")
    assert trained.returncode == 0, trained.stderr
    result = run_classifier(*flags, "--do_eval", "--eval_all_checkpoints")
    assert len(accuracy(result.stdout)) == 3
    names = [
        line
        for line in (tmp_path / "out" / "eval_results.txt").read_text().splitlines()
        if "[" in line
    ]
    assert names == ["[checkpoint-2]", "[checkpoint-4]", "[model]"]


def test_configuration_and_vocabulary_may_come_from_elsewhere(
    run_classifier, refused, sst2, pretrained, tmp_path
):
    config = json.loads((pretrained / "config.json").read_text()) | {"hidden_dropout_prob": 0.3}
    (tmp_path / "other.json").write_text(json.dumps(config))
    shutil.copy(pretrained / "spiece.model", tmp_path / "words.model")
    result = run_classifier(
        "--data_dir", sst2, "--do_train", "--max_steps", "1", "--output_dir", "out",
        "--config_name", "other.json", "--spm_model_file", "words.model",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    saved = json.loads((tmp_path / "out" / "config.json").read_text())
    assert saved["hidden_dropout_prob"] == 0.3
    line = refused("--data_dir", sst2, "--do_train", "--config_name", "no.json", status=2)
    assert "no.json is missing (--config_name)" in line


def test_stop_point_ends_early(run_classifier, sst2, tmp_path):
    flags = ("--data_dir", sst2, "--output_dir", "out", "--do_train", "--do_eval")
    result = run_classifier(*flags, *LEARN, "--stop_point", "0.6", "--eval_steps", "2")
    assert result.returncode == 0, result.stderr
    assert "--stop_point 0.6 is reached" in result.stdout
    assert len(records(tmp_path / "out", "step")) < 160
    assert accuracy(result.stdout)[-1] >= 0.6


def test_evaluation_does_not_depend_on_batch_size_or_padding(run_classifier, sst2):
    flags = ("--data_dir", sst2, "--output_dir", "out")
    assert (
        run_classifier(
            *flags, "--do_train", "--max_steps", "12", "--learning_rate", "1e-2"
        ).returncode
        == 0
    )
    results = {
        accuracy(run_classifier(*flags, "--do_eval", *more).stdout)[0]
        for more in ((), ("--batch_size", "11", "--padding", "max_length"), ("--batch_size", "440"))
    }
    assert len(results) == 1


def test_one_model_in_three_systems_folders_scores_the_same(run_classifier, sst2, tmp_path):
    """Saved by this project, by transformers, and in albert_pytorch's layout."""
    transformers = pytest.importorskip("transformers")
    flags = ("--data_dir", sst2, "--do_eval")
    trained = run_classifier(*flags, "--do_train", "--max_steps", "20", "--learning_rate", "5e-3",
                             "--optimizer", "adamw", "--output_dir", "ours")  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    ours = tmp_path / "ours"
    # transformers reads our folder and writes its own; the tokenizer too.
    theirs = tmp_path / "theirs"
    transformers.AutoModelForSequenceClassification.from_pretrained(ours).save_pretrained(theirs)
    shutil.copy(ours / "spiece.model", theirs)
    # The same training once more, saved in the other layout.
    other = run_classifier(*flags, "--do_train", "--max_steps", "20", "--learning_rate", "5e-3",
                           "--optimizer", "adamw", "--output_dir", "other",
                           "--save_format", "albert_pytorch")  # fmt: skip
    assert other.returncode == 0, other.stderr
    assert (tmp_path / "other" / "pytorch_model.bin").is_file()
    assert not (tmp_path / "other" / "model.safetensors").exists()
    results = [
        run_classifier(
            *flags, "--model_name_or_path", tmp_path / name, "--output_dir", f"{name}-eval"
        )
        for name in ("ours", "theirs", "other")
    ]
    assert all(result.returncode == 0 for result in results), results
    assert {accuracy(result.stdout)[0] for result in results} == {accuracy(trained.stdout)[-1]}
    for result, layout in zip(
        results, ("huggingface", "huggingface", "albert_pytorch"), strict=True
    ):
        assert f"({layout} layout), with its classifier" in result.stdout
