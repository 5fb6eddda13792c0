"""Texts longer than a model's inputs, read in windows."""

import json

import numpy as np
import pytest
import torch
from helpers import encode

from model.checkpoint import build_model, load_model, save_model
from model.configuration_albert import AlbertConfig
from model.tokenizer_export import save_tokenizer
from processors.windows import build_windows, mean_of_windows
from tools import predict

LONG = "a film by the sea, in the city, as they say, from start to end, in 2013 and in 12"


@pytest.mark.parametrize("stride", [1, 3, 5, 8])
def test_windows_cover_a_text_from_its_first_token_to_its_last(tokenizer, stride):
    texts = ["a film", LONG, "", "the sea in the", LONG[:40]]
    features, counts = build_windows(texts, tokenizer, 10, stride)
    windows = np.split(features.input_ids, features.offsets[1:-1])
    assert len(features) == counts.sum() == len(windows)
    assert (features.first_lengths == features.lengths).all()
    for ids, count in zip(encode(tokenizer, texts), counts, strict=True):
        expected, start = [], 0
        while start + 8 < len(ids):
            expected.append(ids[start : start + 8])
            start += stride
        expected.append(ids[-8:])
        mine, windows = windows[:count], windows[count:]
        whole = [[tokenizer.cls_id, *part, tokenizer.sep_id] for part in expected]
        assert [window.tolist() for window in mine] == whole


def test_the_mean_is_that_of_a_texts_own_windows():
    logits = np.arange(12, dtype=np.float32).reshape(6, 2)
    found = mean_of_windows(logits, np.array([1, 3, 2]))
    assert found.tolist() == [[0, 1], [4, 5], [9, 10]]
    assert found.dtype == np.float32


@pytest.fixture
def folder(pretrained, tokenizer, tmp_path):
    config = AlbertConfig.from_file(pretrained)
    config.set_task(None, False)
    config.set_inputs(12, "head")
    config.initializer_range = 0.5
    torch.manual_seed(3)
    save_model(build_model(config), tmp_path / "model")
    save_tokenizer(tokenizer, tmp_path / "model")
    return tmp_path / "model"


def test_a_long_text_is_asked_about_in_windows(folder, tokenizer, capsys, caplog):
    def ask(*words, status=0):
        assert predict.main(["--model", str(folder), "--device=cpu", *words]) == status
        printed = capsys.readouterr()
        return [json.loads(line)["score"] for line in printed.out.splitlines()], printed.err

    texts = [LONG, "", "a film"]
    (cut, nothing, short), _ = ask(*texts[:1], " ", *texts[2:])
    (whole, nothing, same), _ = ask("--windows", *texts[:1], " ", *texts[2:])
    assert nothing is None
    assert same == pytest.approx(short, abs=1e-6)
    (ids,) = encode(tokenizer, [LONG])
    starts = [*range(0, len(ids) - 10, 5), len(ids) - 10]
    model = load_model(folder, AlbertConfig.from_file(folder)).eval()
    rows = [[tokenizer.cls_id, *ids[i : i + 10], tokenizer.sep_id] for i in starts]
    with torch.no_grad():
        scores = model(torch.tensor(rows)).logits[:, 0]
    assert cut == pytest.approx(scores[0].item(), abs=1e-5)
    assert whole == pytest.approx(scores.mean().item(), abs=1e-5)
    assert abs(whole - cut) > 1e-3

    for words, expected in (
        (
            ("--windows", "--window_stride=11", "a"),
            "--window_stride 11 leaves tokens out: a window has",
        ),
        (("--window_stride=3", "a"), "--window_stride is about --windows: give that as well"),
        (("--windows", "--truncation=tail", "a"), "--windows cuts nothing: leave one out"),
    ):
        try:
            status = predict.main(["--model", str(folder), "--device=cpu", *words])
        except SystemExit as end:  # The parser ends the program itself.
            status = end.code
        assert status == 2
        assert expected in capsys.readouterr().err

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"sentence_pairs": True}))
    assert (
        predict.main(["--model", str(folder), "--device=cpu", "--windows", "a film\tthe sea"]) == 2
    )
    assert "--windows is for single texts, and these are pairs" in capsys.readouterr().err
    # What is cut of a pair is told without them.
    assert predict.main(["--model", str(folder), "--device=cpu", f"{LONG}\tthe sea"]) == 0
    assert "1 of the 1 inputs are longer than" in caplog.messages[-1]
    assert "--windows" not in caplog.messages[-1]
