"""Evaluation and prediction in bf16, where a flag asks for it."""

import json

import pytest
from helpers import make_examples, records, sentences
from torch.utils._python_dispatch import TorchDispatchMode

from model.checkpoint import build_model
from model.configuration_albert import AlbertConfig
from processors.features import build_features
from tools import predict
from tools.machine.device import Device
from tools.precision.scoring import ScoringPrecision
from tools.run.scoring import compute_logits


def of_jsonl(text):
    return [json.loads(line)["probabilities"] for line in text.splitlines() if line[0] == "{"]


def test_a_run_scores_and_predicts_in_bf16(program, sst2, tmp_path, capsys):
    train = ("--do_train", "--max_steps", 3, "--learning_rate", 1e-2, "--save_steps", 0)
    names = ("--data_dir", sst2, "--output_dir", "out")
    assert program(*names, *train, "--do_eval") == 0
    assert program(*names, "--do_predict") == 0
    log = capsys.readouterr().out
    assert "precision = fp32" in log
    assert "precision = bf16" not in log
    submission = tmp_path / "out" / "predictions" / "SST-2.jsonl"
    in_fp32 = of_jsonl(submission.read_text())

    assert program(*names, "--do_eval", "--do_predict", "--eval_bf16") == 0
    log = capsys.readouterr().out
    assert log.count("precision = bf16") == 2
    assert "precision = fp32" not in log
    *_, before, now = records(tmp_path / "out", "eval")
    assert (before["precision"], now["precision"]) == ("fp32", "bf16")
    in_bf16 = of_jsonl(submission.read_text())
    assert in_bf16 != in_fp32
    for ours, theirs in zip(in_bf16, in_fp32, strict=True):
        assert ours == pytest.approx(theirs, abs=0.02)

    rows = (sst2 / "test.tsv").read_text().splitlines()[1:]
    (tmp_path / "texts").write_text("\n".join(row.split("\t")[1] for row in rows))
    words = ["--model", "out", "--file", "texts", "--max_seq_length=32", "--device=cpu"]
    assert predict.main(words) == 0
    assert of_jsonl(capsys.readouterr().out) == [pytest.approx(row, abs=1e-6) for row in in_fp32]
    assert predict.main([*words, "--bf16", "--batch_size=8"]) == 0
    assert of_jsonl(capsys.readouterr().out) == [pytest.approx(row, abs=1e-6) for row in in_bf16]


def test_a_flag_without_effect_is_refused(refused, sst2):
    names = ("--data_dir", sst2, "--do_train", "--eval_bf16")
    line = refused(*names, status=2)
    assert "--eval_bf16 needs --do_eval or --do_predict" in line


def test_a_device_without_bf16_is_named_before_the_data_are_read(refused, sst2, monkeypatch):
    monkeypatch.setattr(Device, "has_bf16", False)
    monkeypatch.setattr("run_classifier.load_start", None)
    line = refused("--data_dir", sst2, "--do_train", "--do_eval", "--eval_bf16", status=2)
    assert "--eval_bf16: cpu (1 threads) cannot compute in bf16; leave it out" in line


class Casts(TorchDispatchMode):
    """Counts the casts of a weight."""

    def __init__(self, shape):
        super().__init__()
        self.shape, self.count = shape, 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if operation.name().startswith(("aten::to.", "aten::_to_copy")):
            self.count += args[0].shape == self.shape and result.dtype != args[0].dtype
        return result


def test_weights_are_cast_once_for_all_batches(pretrained, tokenizer):
    texts = [(text, None, label) for text, label in sentences(12)]
    features = build_features(make_examples(*texts), tokenizer, 32, is_regression=False)
    config = AlbertConfig.from_file(pretrained)
    config.set_task(("0", "1"))
    model = build_model(config)
    precision = ScoringPrecision(Device("cpu"), "--bf16")
    (layer,) = model.albert.encoder.albert_layer_groups[0].albert_layers
    with Casts(layer.ffn.weight.shape) as casts:
        compute_logits(model, features, Device("cpu"), 4, 32, precision=precision)
    assert casts.count == 1
