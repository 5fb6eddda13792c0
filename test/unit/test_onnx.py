"""What tools/export.py --onnx writes answers as torch does, from onnxruntime (requirements-onnx.txt)."""

import json
import sys

import numpy as np
import pytest
import torch
from helpers import command, make_examples, write_sst2

from model.checkpoint import build_model
from model.configuration_albert import AlbertConfig
from processors.features import build_features
from tools import export
from tools.machine.device import Device
from tools.run.scoring import compute_logits

reason = "onnx, onnxscript and onnxruntime make and run the networks"
pytest.importorskip("onnxscript", reason=reason)
InferenceSession = pytest.importorskip("onnxruntime", reason=reason).InferenceSession

TEXTS = ("a fine film", "", "a dull and tired film", "x", "we loved this warm story " * 12)


def test_onnxruntime_answers_as_torch_does(small_model, ask, capsys, tmp_path):
    folder, out = small_model(False, labels=("0", "1")), tmp_path / "out"
    flags = {"task_name": "sst-2", "data_dir": str(write_sst2(tmp_path / "data", dev=400))}
    (folder / "training_args.json").write_text(json.dumps(flags))
    words = ("--model", folder, "--output", out, "--onnx", "--int8", "--speed")
    assert export.main([str(word) for word in words]) == 0
    assert "| model_int8.onnx |" in capsys.readouterr().out
    assert {"model.onnx", "model_int8.onnx", "model.safetensors"} <= {f.name for f in out.iterdir()}
    (output,) = InferenceSession(out / "model.onnx").get_outputs()
    assert output.shape == ["batch", 2]
    (tmp_path / "table.csv").write_text("id,sentence\n" + "".join(f"7,{t}\n" for t in TEXTS))
    table = ("--file", tmp_path / "table.csv", "--text_columns", "sentence")
    for words in (TEXTS, (*TEXTS, "--windows"), (*TEXTS, "--batch_size=1"), table):
        _, expected, said = ask(folder, *words)
        status, found, errors = ask(out, "--onnx", *words)
        assert (status, errors) == (0, said)
        for ours, theirs in zip(expected, found, strict=True):
            assert (theirs["id"], theirs["prediction"]) == (ours["id"], ours["prediction"])
            if ours["prediction"] is not None:
                assert theirs["probabilities"] == pytest.approx(ours["probabilities"], abs=1e-5)
    _, small, _ = ask(out, "--onnx", "--int8", *TEXTS)
    plain = ask(folder, *TEXTS)[1]
    close = [record["probabilities"]["0"] for record in small if record["prediction"]]
    exact = [record["probabilities"]["0"] for record in plain if record["prediction"]]
    assert close == pytest.approx(exact, abs=0.3)  # The random weights are large, the sums short.
    assert close != pytest.approx(exact, abs=1e-6)

    # The card's lines do it without this project.
    *_, code, _ = (out / "README.md").read_text().split("```")
    found = {}
    exec(code.removeprefix("python").replace("DIR", str(out)), found)  # noqa: S102
    odds = found["logits"][0, 1] - found["logits"][0, 0]
    (record,) = ask(folder, "a text")[1]
    assert 1 / (1 + np.exp(-odds)) == pytest.approx(record["probabilities"]["1"], abs=1e-5)

    # The process needs no torch for it.
    code = (
        "import sys\nsys.modules['torch.nn'] = None\nfrom tools import predict\n"
        f"sys.exit(predict.main(['--onnx', '--model', {str(out)!r}, 'a film']) or 'torch' in sys.modules)"
    )
    result = command(sys.executable, "-c", code, cwd=export.__file__.rsplit("/tools/", 1)[0])
    assert result.returncode == 0, result.stderr

    (out / "model.onnx").write_bytes((out / "model.onnx").read_bytes()[:1000])
    status, _, errors = ask(out, "--onnx", "a film", shows=False)
    assert status == 1
    assert "model.onnx cannot be read as ONNX" in errors
    status, _, errors = ask(folder, "--onnx", "a film", shows=False)
    assert status == 2
    assert "holds no model.onnx: python -m tools.export" in errors


@pytest.mark.parametrize(
    ("layout", "sizes", "task"),
    [
        ("huggingface", {"type_vocab_size": 2, "hidden_act": "relu"}, (None, True)),
        (
            "albert_pytorch",
            {"embedding_size": 16, "hidden_size": 16},
            (("a", "b", "c"), False, ","),
        ),
        ("huggingface", {"num_hidden_groups": 2, "inner_group_num": 2}, (("a", "b"), False)),
    ],
    ids=["numbers of pairs", "labels, no linear map", "two groups of two layers"],
)
def test_a_network_of_any_shape(tokenizer, tmp_path, layout, sizes, task):
    from tools.exporting.onnx_model import write_onnx
    from tools.exporting.onnx_network import OnnxNetwork

    sizes = {"embedding_size": 8, "hidden_size": 16, "type_vocab_size": 1, **sizes}
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
        initializer_range=0.5,
        **sizes,
    )
    config.set_task(*task)
    torch.manual_seed(0)
    model = build_model(config, layout).eval()
    second = "the sea" if task[1] else None
    examples = make_examples(*((text, second, None) for text in TEXTS))
    features = build_features(examples, tokenizer, 40, is_regression=False)
    expected = compute_logits(model, features, Device("cpu"), 3, 40)
    write_onnx(model, tmp_path / "model.onnx")
    network = OnnxNetwork(tmp_path / "model.onnx")
    for size in (1, 3):
        np.testing.assert_allclose(network.logits(features, size, 40), expected, atol=1e-4)
