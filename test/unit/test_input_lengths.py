"""How long an input may be, and what stays of a longer one: kept with the model that was trained so."""

import json

import numpy as np
import pytest
from helpers import encode, make_examples, records

import run_classifier
from model.configuration_albert import AlbertConfig
from processors.features import build_features, load_features
from processors.glue import TASKS
from tools import predict

LATE = "the sea by the sea as they say by the sea in the city"  # It says nothing.


@pytest.fixture
def start(program, pretrained, tmp_path, capsys):
    """Run run_classifier.py without a length; return its status and what it says."""

    def call(*flags):
        own = ("--model_name_or_path", pretrained, "--device=cpu", "--output_dir=out")
        status = run_classifier.run_program([str(word) for word in (*own, *flags)])
        return status, capsys.readouterr().out

    return call


def write_late(folder):
    """Write SST-2's files with texts that only their last words tell apart."""
    folder.mkdir(parents=True)
    for split, count in (("train", 23), ("dev", 12)):
        rows = [f"{LATE} {('dull', 'fine')[i % 2]} film\t{i % 2}" for i in range(count)]
        (folder / f"{split}.tsv").write_text(
            "\n".join(["sentence\tlabel", *rows, "film\t0"]) + "\n"
        )
    return folder


def test_a_model_is_scored_with_the_length_of_its_training(start, tmp_path, tokenizer, capsys):
    data = write_late(tmp_path / "data")
    (length,) = map(len, encode(tokenizer, [f"{LATE} fine film"]))
    assert length > 20
    learn = "--do_train --do_eval --optimizer adamw --learning_rate 5e-3 --num_train_epochs 40"
    kept = f"--max_seq_length={20} --truncation=tail --batch_size=24 --eval_steps=99"
    status, said = start(
        "--data_dir", data, *learn.split(), *kept.split(), "--warmup_proportion=0.3"
    )
    assert status == 0
    for split, count in (("train", 23), ("dev", 12)):
        lengths = f"of {split}: 20 in the middle, 20 at most"
        assert f"{lengths}, {count} of {count + 1} cut to --max_seq_length, 0 % unknown" in said
    (final,) = [record for record in records(tmp_path / "out", "eval") if "model" in record]
    config = AlbertConfig.from_file(tmp_path / "out")
    assert (config.max_seq_length, config.truncation, final["acc"]) == (20, "tail", 1.0)

    status, said = start("--data_dir", data, "--do_eval")
    assert (status, "warning" in said) == (0, False)
    assert records(tmp_path / "out", "eval")[-1]["acc"] == 1.0
    status, said = start("--data_dir", data, "--do_eval", "--truncation=head")
    assert "warning: --truncation head: the model was trained with tail" in said
    assert records(tmp_path / "out", "eval")[-1]["acc"] < 0.6
    status, said = start("--data_dir", data, "--do_eval", "--max_seq_length=5")
    assert "warning: --max_seq_length 5: the model was trained with 20" in said

    def ask(*flags):
        texts = [f"{LATE} {word} film" for word in ("dull", "fine")]
        assert predict.main(["--model", str(tmp_path / "out"), "--device=cpu", *flags, *texts]) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        return [json.loads(line)["prediction"] for line in lines]

    assert ask() == ["0", "1"]
    first, second = ask("--truncation=head")
    assert first == second

    # More training goes by what the model has, too.
    flags = ("--model_name_or_path=out", "--output_dir=more", "--do_train", "--max_steps=1")
    assert start("--data_dir", data, *flags)[0] == 0
    assert AlbertConfig.from_file(tmp_path / "more").max_seq_length == 20


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("max_seq_length", 4, "max_seq_length is 4, not a whole number from 5 to max_position_embeddings"),
        ("max_seq_length", 65, "is 65, not a whole number from 5 to max_position_embeddings, 64: correct"),
        ("max_seq_length", "20", "max_seq_length is '20', not"),
        ("truncation", "middle", "truncation is 'middle', not one of head, tail, head.tail: correct it"),
    ],
)  # fmt: skip
def test_a_length_that_no_training_had_is_refused(pretrained, tmp_path, key, value, words):
    config = json.loads((pretrained / "config.json").read_text()) | {key: value}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=words):
        AlbertConfig.from_file(tmp_path)


@pytest.mark.parametrize(("truncation", "first"), [("head", 8), ("tail", 0), ("head+tail", 2)])
def test_what_stays_of_a_text(tokenizer, truncation, first):
    long, short = "a b c d e f g h i j k l", "a film"
    ids, others = encode(tokenizer, [long, short])
    assert len(ids) > 9 > len(others)
    rows = [(long, short, 0), (short, long, 0), (short, short, 0)]
    longest = 3 + 8 + len(others)
    features = build_features(make_examples(*rows), tokenizer, longest, False, truncation)
    one, other, whole = np.split(features.input_ids, features.offsets[1:-1])
    cls, sep = tokenizer.cls_id, tokenizer.sep_id
    kept = ids[:first] + ids[len(ids) - 8 + first :]
    assert one.tolist() == [cls, *kept, sep, *others, sep]
    assert other.tolist() == [cls, *others, sep, *kept, sep]
    assert whole.tolist() == [cls, *others, sep, *others, sep]
    assert features.cut.tolist() == [True, True, False]
    single = build_features(make_examples((long, None, 0)), tokenizer, 10, False, truncation)
    assert single.input_ids.tolist() == [cls, *kept, sep]


def test_the_cache_follows_what_stays(sst2, tokenizer):
    read = (TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 8)
    found = [load_features(*read, truncation=name) for name in ("head", "tail")]
    assert found[0].cut.any()
    assert not np.array_equal(found[0].input_ids, found[1].input_ids)
    again = load_features(*read, truncation="tail")
    assert np.array_equal(found[1].input_ids, again.input_ids)
    assert np.array_equal(found[1].cut, again.cut)
