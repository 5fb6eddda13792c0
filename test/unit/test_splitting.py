"""--dev_share and --max_train_examples: by a seed, class by class, and no text on both sides."""

import json

import numpy as np
import pytest
from helpers import make_examples, records

from processors.features import build_features
from processors.splitting import draw, select, set_aside
from tools.results.run_folder import RunFolder
from tools.run.data_flags import ShareFlags
from tools.run.data_shares import warn_of_trained_examples
from tools.run.output_dir import training_arguments

CUSTOM = ("--task_name", "custom", "--output_dir", "out")


def features_of(tokenizer, rows, is_regression=False):
    return build_features(make_examples(*rows), tokenizer, 32, is_regression)


def texts_of(features):
    return [part.tobytes() for part in np.split(features.input_ids, features.offsets[1:-1])]


def test_each_class_has_its_share_and_no_text_is_on_both_sides(tokenizer):
    rng = np.random.default_rng(1)
    sizes = [100, 40, 7, 1]
    rows = [(f"film {label} {i}", None, label) for label, n in enumerate(sizes) for i in range(n)]
    rows += [(f"film 0 {i}", None, 1) for i in range(10)]  # One text, two classes.
    rows += [
        (f"FILM 1 {i}", None, 1) for i in range(10) for _ in range(2)
    ]  # The same to the model.
    rows = [rows[i] for i in rng.permutation(len(rows))]
    features = features_of(tokenizer, rows)
    is_dev = set_aside(features, 0.2, 42)
    assert abs(is_dev.sum() - 0.2 * len(rows)) <= 2
    texts, labels = np.array(texts_of(features), dtype=object), features.labels
    assert not set(texts[is_dev]) & set(texts[~is_dev])
    shares = [is_dev[labels == label].mean() for label in range(4)]
    assert shares[:2] == pytest.approx([0.2, 0.2], abs=0.06)
    assert shares[3] == 0
    assert (set_aside(features, 0.2, 42) == is_dev).all()
    assert (set_aside(features, 0.2, 43) != is_dev).any()


def test_many_small_classes_still_make_a_dev_set(tokenizer):
    rows = [(f"story {label} of {i}", None, label) for label in range(20) for i in range(3)]
    is_dev = set_aside(features_of(tokenizer, rows), 0.1, 0)
    assert is_dev.sum() == 6
    numbers = [(f"story {i}", None, float(i)) for i in range(50)]
    assert set_aside(features_of(tokenizer, numbers, True), 0.1, 0).sum() == 5
    same = [("a story", None, i % 2) for i in range(50)]
    assert not set_aside(features_of(tokenizer, same), 0.5, 0).any()


def test_rows_that_are_selected_are_those_rows(tokenizer):
    rows = [(f"film {i}" + " story" * i, f"{'sea ' * (9 - i)}", i % 2) for i in range(10)]
    for chosen in (np.array([7, 2, 3]), np.arange(10) % 3 == 1, np.array([], dtype=int)):
        found = select(features_of(tokenizer, rows), chosen)
        numbers = np.arange(10)[chosen]
        if len(numbers):
            same = features_of(tokenizer, [rows[i] for i in numbers])
            assert found.checksum() == same.checksum()
        assert len(found) == len(numbers)


def test_fewer_examples_are_among_more():
    few, more = draw(1000, 50, 3), draw(1000, 200, 3)
    assert (len(few), len(set(few))) == (50, 50)
    assert set(few) < set(more) < set(range(1000))
    assert (np.diff(few) > 0).all()
    assert draw(10, 50, 3).tolist() == list(range(10))


@pytest.fixture
def table(tmp_path):
    """JSON lines of one's own, and no dev file."""
    rows = [
        {"sentence": f"a {w} film {i}", "label": w} for i in range(30) for w in ("fine", "dull")
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ("--train_file", "t.jsonl")


def test_a_table_without_a_dev_file_is_scored(run_classifier, table, tmp_path):
    flags = (*CUSTOM, *table, "--dev_share", "0.2")
    trained = run_classifier(
        *flags, "--do_train", "--do_eval", "--max_steps", "3", "--max_train_examples", "20"
    )
    assert trained.returncode == 0, trained.stderr
    assert "--dev_share 0.2: 12 of 60 examples are set aside (--split_seed 42)" in trained.stdout
    assert "--max_train_examples: 20 of 48 are trained with" in trained.stdout
    assert '; of dev: "dull" (6), "fine" (6)' in trained.stdout
    # Later, with another --seed, it is the same part of the file that is scored; a test file with labels
    # is scored, too.
    test = (tmp_path / "t.jsonl").read_text().splitlines(keepends=True)[:9]
    (tmp_path / "test.jsonl").write_text("".join(test))
    predicts = ("--do_predict", "--test_file", "test.jsonl")
    again = run_classifier(*flags, "--do_eval", "--seed", "7", *predicts)
    assert again.returncode == 0, again.stderr
    assert "may have seen" not in again.stdout + again.stderr
    *_, first, second = records(tmp_path / "out", "eval")
    assert second["examples"] == 12
    assert {k: first[k] for k in ("acc", "macro_f1")} == {k: second[k] for k in ("acc", "macro_f1")}
    rows = list(map(json.loads, (tmp_path / "t.jsonl").read_text().splitlines()))
    said = RunFolder(tmp_path / "out").dev_predictions()
    assert len({record["id"] for record in said}) == 12
    assert all(rows[r["id"] - 1] == {"sentence": r["text"], "label": r["label"]} for r in said)
    (scored,) = records(tmp_path / "out", "test")
    assert (scored["file"], scored["examples"]) == ("test", 9)
    text = (tmp_path / "out" / "predictions" / "test.tsv").read_text()
    hits = [
        json.loads(a)["label"] == b.split("\t")[1]
        for a, b in zip(test, text.splitlines()[1:], strict=True)
    ]
    assert scored["acc"] == pytest.approx(sum(hits) / 9)
    assert "***** Test results of test *****" in again.stdout
    results = (tmp_path / "out" / "eval_results.txt").read_text()
    model = f"[model]\nacc = {second['acc']}\nmacro_f1 = {second['macro_f1']}\n"
    of_test = f"[test test]\nacc = {scored['acc']}\nmacro_f1 = {scored['macro_f1']}\n"
    assert results == model + of_test
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["text_columns"] == ["sentence"]  # The default of tools/predict.py.
    # A row more divides the table anew, and what was trained with may be scored.
    with (tmp_path / "t.jsonl").open("a") as file:
        file.write('{"sentence": "a fine row", "label": "fine"}\n')
    other = run_classifier(*flags, "--do_eval", "--dry_run")
    words = "trained before t.jsonl was changed, and may have seen what is scored now"
    assert words in other.stdout + other.stderr
    # Once more, with a label of no class: nothing is scored, and no result is lost.
    (tmp_path / "test.jsonl").write_text("".join(test).replace('"dull"', '"drab"'))
    once_more = run_classifier(*CUSTOM, *predicts)
    assert once_more.returncode == 0, once_more.stderr
    words = (
        "test.jsonl, line 2: label 'drab' is not one of 'dull', 'fine': the file is predicted, and"
    )
    assert words in once_more.stdout + once_more.stderr
    assert (tmp_path / "out" / "eval_results.txt").read_text() == results


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ("--do_train", "--do_eval"),
            "--do_eval needs --dev_file, or --dev_share 0.1 in its place",
        ),
        (
            ("--do_train", "--dev_share=0.1", "--dev_file", "t.jsonl"),
            "--dev_share takes the dev set fr",
        ),
        (("--do_train", "--dev_share", "1.5"), "1.5 is not above 0 and at most 0.9"),
        (("--do_train", "--dev_share", "0.001"), "--dev_share 0.001 of 60 examples is none"),
        (("--do_train", "--max_train_examples", "1"), "--split_seed 42 draws one class alone, '"),
        (
            ("--do_train", "--split_seed", "1"),
            "--split_seed needs --dev_share or --max_train_examples",
        ),
        (
            ("--do_eval", "--dev_share=0.1", "--max_train_examples=9"),
            "--max_train_examples needs --do_t",
        ),
        (("--do_train", "--dev_share=0.1", "--train_file", "no.csv"), "no.csv is missing"),
    ],
)
def test_what_cannot_be_divided_is_one_line(refused, table, flags, words):
    assert words in refused(*CUSTOM, *table, *flags, status=2)


def test_the_part_needs_the_whole(refused):
    words = "--task_name custom with --dev_share needs --train_file"
    assert words in refused(*CUSTOM, "--do_eval", "--dev_share", "0.1", status=2)
    words = "--dev_share goes with --task_name custom"
    assert words in refused("--do_train", "--dev_share", "0.1", status=2)


@pytest.mark.parametrize(
    ("trained", "other_inputs", "words"),
    [
        ({}, True, None),
        ({"train_file": "elsewhere/t.csv", "dev_share": 0.2, "split_seed": None}, False, None),
        ({"train_file": "other.csv", "dev_share": 0.5}, True, None),
        (
            {"train_file": "t.csv", "dev_share": 0.2, "split_seed": 7},
            False,
            "--dev_share 0.2 --split_s",
        ),
        (
            {"train_file": "t.csv", "dev_share": 0.1},
            False,
            "--dev_share 0.1 --split_seed 42, and may",
        ),
        (
            {"train_file": "t.csv", "dev_share": None},
            False,
            "without --dev_share, and may have seen",
        ),
        (
            {"train_file": "t.csv", "dev_share": 0.2},
            True,
            "another --max_seq_length or --truncation",
        ),
    ],
)
def test_another_share_than_the_trainings_is_told(trained, other_inputs, words, caplog):
    shares = ShareFlags(0.2, None, 42)
    warn_of_trained_examples(shares, "data/t.csv", trained, other_inputs)
    assert (words or "") in caplog.text
    assert bool(caplog.text) == bool(words)


def test_a_trained_folder_tells_which_share_was_set_aside(program, table, small_model, capsys):
    folder = small_model(False, ("dull", "fine"))
    record = {"train_file": "t.jsonl", "dev_share": 0.2, "split_seed": 7}
    (folder / "training_args.json").write_text(json.dumps(record))
    assert training_arguments(folder / "checkpoint-3") == record
    flags = (*CUSTOM, *table, "--do_eval", "--dev_share=0.2", "--model_name_or_path", folder)
    assert program(*flags, "--split_seed=7") == 0
    assert "may have seen" not in capsys.readouterr().out
    assert program(*flags) == 0
    shown = capsys.readouterr()
    words = "the model was trained with --dev_share 0.2 --split_seed 7, and may have seen what is scored"
    assert words in shown.out + shown.err
