"""Classes that count more than others in the loss, and targets that are smoothed."""

import math
import shlex

import numpy as np
import pytest
import torch
from helpers import records, small_training, train, training_flags

from processors.glue import TASKS
from tools.cli.errors import UsageError
from tools.run.flags import parse_flags
from tools.run.loss import check_class_weights, weigh_loss


def written_out(logits, labels, weights, smoothing):
    """Return the mean loss, example by example."""
    total = 0.0
    for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True):
        log_sum = math.log(sum(map(math.exp, row)))
        losses = [log_sum - value for value in row]
        smoothed = (1 - smoothing) * losses[label] + smoothing * sum(losses) / len(losses)
        total += weights[label] * smoothed
    return total / len(labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    ("given", "weights"),
    # Of eight examples six are of class 0.
    [(None, (1, 1)), ("balanced", (8 / 12, 2)), ("0=1,1=3", (8 / 12, 2)), ("1=5, 0=5", (1, 1))],
)
def test_the_loss_is_the_mean_of_weighted_examples(tokenizer, tmp_path, given, weights, smoothing):
    model, _ = small_training(TASKS["sst-2"], tokenizer)
    others = [f"--label_smoothing={smoothing}"] + [f"--class_weights={given}"] * bool(given)
    flags = training_flags(tmp_path, TASKS["sst-2"], *others).training
    labels = np.array([0, 0, 1, 0, 0, 1, 0, 0])
    weigh_loss(model, flags, TASKS["sst-2"], labels)
    ids = torch.randint(5, 40, (8, 6), generator=torch.Generator().manual_seed(1))
    output = model.eval()(ids, labels=torch.from_numpy(labels))
    expected = written_out(output.logits, labels, weights, smoothing)
    assert output.loss.item() == pytest.approx(expected, abs=1e-6)
    assert not any("weights" in name for name in model.state_dict())


def test_micro_batches_make_the_same_step(tokenizer, tmp_path):
    found = []
    for size, accumulation in ((40, 1), (8, 5)):
        model, features = small_training(TASKS["sst-2"], tokenizer)
        flags = ("--batch_size", size, "--gradient_accumulation_steps", accumulation)
        flags += (
            "--max_steps=2",
            "--class_weights=0=1,1=4",
            "--padding=longest",
            "--lr_schedule=constant",
        )
        flags = training_flags(
            tmp_path, TASKS["sst-2"], *flags, "--warmup_proportion=0", "--drop_last"
        )
        train(flags, model, tokenizer, features, tmp_path / f"{size}" / "metrics.jsonl")
        found.append([record["loss"] for record in records(tmp_path / f"{size}", "step")])
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert found[0][0] != found[0][1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("even", "'even' is no weight of a class of its own, as in a=1,b=b=2.5; or give balanced"),
        ("a=1,b=b=x", "'b=b=x' is no weight"),
        ("a=0,b=b=1", "'a=0' is no weight"),
        ("a=1,a=2", "'a=2' is no weight"),
        ("a=1", "the classes are 'a', 'b=b': give each of them a weight, or balanced"),
        ("a=1,b=b=1,c=1", "the classes are 'a', 'b=b'"),
    ],
)
def test_weights_that_are_none_are_refused(text, words):
    with pytest.raises(UsageError, match=words):
        check_class_weights(text, ("a", "b=b"))
    # An example can be given as it stands, whatever the classes are called.
    classes = ("a,b", 'c "d"', "e")
    with pytest.raises(UsageError, match="no weight of a class") as caught:
        check_class_weights("a,b=1", classes)
    example = shlex.split(str(caught.value).split("as in ")[1].split("; or")[0])
    found = check_class_weights(f"{example[0]},e=3", classes)
    assert found == {"a,b": 1.0, 'c "d"': 2.5, "e": 3.0}
    assert check_class_weights('b=b=2.5, "a=1"', ("a", "b=b")) == {"a": 1.0, "b=b": 2.5}


def test_they_are_refused_where_they_say_nothing(refused, sst2, stsb, monkeypatch):
    flags = ("--task_name=sts-b", "--data_dir", stsb, "--do_train")
    for flag in ("class_weights=balanced", "label_smoothing=0.1"):
        line = refused(*flags, f"--{flag}", status=2)
        assert f"--{flag.split('=')[0]} is about classes, and the task predicts a number" in line
        line = refused("--data_dir", sst2, "--do_eval", f"--{flag}", status=2)
        assert "needs --do_train, whose loss it is about" in line
    monkeypatch.setattr("tools.run.start.load_features", lambda *_: pytest.fail("tokenizes"))
    line = refused("--data_dir", sst2, "--do_train", "--class_weights=no=1", status=2)
    assert "--class_weights no=1: the classes are '0', '1': give each" in line
    assert parse_flags(["--do_train", "--label_smoothing=0.1"]).training.label_smoothing == 0.1
