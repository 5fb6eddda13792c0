"""What Google's ALBERT left in a TensorFlow checkpoint computes the same numbers here.

The checkpoints, and the numbers, are TensorFlow's own: see google_albert.py.
"""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT, command

from model.checkpoint import load_model
from model.configuration_albert import AlbertConfig
from model.google_albert import build_from_variables, is_used, read_google_config, variable_name
from model.modeling_albert import AlbertForSequenceClassification

TOOL = ROOT / "tools" / "convert_tf_checkpoint.py"
WRITER = Path(__file__).with_name("google_albert.py")
# The keys, and the spelling of the activation, of Google's albert_config.json.
GOOGLE_CONFIG = {
    "attention_probs_dropout_prob": 0, "hidden_act": "gelu", "hidden_dropout_prob": 0,
    "embedding_size": 16, "hidden_size": 32, "initializer_range": 0.02, "intermediate_size": 48,
    "max_position_embeddings": 40, "num_attention_heads": 4, "num_hidden_layers": 3,
    "num_hidden_groups": 1, "net_structure_type": 0, "layers_to_keep": [], "gap_size": 0,
    "num_memory_blocks": 0, "inner_group_num": 1, "down_scale_factor": 1, "type_vocab_size": 2,
}  # fmt: skip
# By name: where the checkpoint is, where the other files are, the scope, the labels, the configuration.
CASES = {
    "pretrained": ("model.ckpt-best", "", "", None, {}),
    "classifier": (
        "model.ckpt-best", "", "", 3,
        {"num_hidden_layers": 5, "num_hidden_groups": 2, "inner_group_num": 2},
    ),
    "hub_module": ("variables/variables", "assets", "module", None, {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs():
    """Ids, mask and token types [4, 12] of texts of several lengths, drawn at random."""
    chance = np.random.default_rng(3)
    mask = (np.arange(12) < np.array([[12], [7], [4], [9]])).astype(int)
    return {
        "ids": chance.integers(5, 90, (4, 12)) * mask,
        "mask": mask,
        "types": chance.integers(0, 2, (4, 12)) * mask,
    }


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, vocabulary, tokenizer, inputs):
    """A folder with a folder for each of CASES, as Google's code leaves it."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed (requirements-tensorflow.txt)")
    root = tmp_path_factory.mktemp("google")
    cases = []
    for name, (prefix, beside, scope, labels, changes) in CASES.items():
        config = {**GOOGLE_CONFIG, "vocab_size": tokenizer.vocab_size, **changes}
        for folder in ((root / name / prefix).parent, root / name / beside):
            folder.mkdir(parents=True, exist_ok=True)
        (root / name / beside / "albert_config.json").write_text(json.dumps(config))
        shutil.copy(vocabulary, root / name / beside / "30k-clean.model")
        arrays = {key: value.tolist() for key, value in inputs.items()}
        cases.append({"prefix": str(root / name / prefix), "config": config, "scope": scope,
                      "labels": labels, **arrays})  # fmt: skip
    (root / "cases.json").write_text(json.dumps(cases))
    result = command(sys.executable, WRITER, root / "cases.json", cwd=root)
    assert result.returncode == 0, result.stderr
    return root


@pytest.fixture(scope="module")
def converted(checkpoints):
    """Convert a case, once; returns the new folder and the line printed."""
    done = {}

    def call(name):
        if name not in done:
            folder, new = checkpoints / name, checkpoints / "to" / name
            words = [TOOL, "--checkpoint", folder]
            if name == "classifier":  # the other way to start it, with every file named
                words = [
                    "-m",
                    "tools.convert_tf_checkpoint",
                    "--checkpoint",
                    folder / CASES[name][0],
                ]
                words += ["--config", folder / "albert_config.json"]
                words += ["--vocabulary", folder / "30k-clean.model"]
            result = command(sys.executable, *words, "--output_dir", new, cwd=ROOT)
            assert result.returncode == 0, result.stderr
            assert result.stderr == ""
            done[name] = new, result.stdout
        return done[name]

    return call


@pytest.fixture
def source(tmp_path, vocabulary, tokenizer):
    """A folder that has all but the contents of a checkpoint; for that no TensorFlow is needed."""
    folder = tmp_path / "albert_base"
    folder.mkdir()
    (folder / "model.ckpt-best.index").write_bytes(bytes(range(200)))
    config = {**GOOGLE_CONFIG, "vocab_size": tokenizer.vocab_size}
    (folder / "albert_config.json").write_text(json.dumps(config))
    shutil.copy(vocabulary, folder / "30k-clean.model")
    return folder


def convert(source, *flags):
    own = ("--checkpoint", source, "--output_dir", source.parent / "new")
    return command(sys.executable, TOOL, *own, *flags, cwd=source.parent)


def assert_one_line(result, status, words):
    assert (result.returncode, result.stdout) == (status, ""), result.stdout + result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("convert_tf_checkpoint: error: ")
    assert words in result.stderr


def expected(checkpoints, name):
    arrays = np.load(checkpoints / name / f"{CASES[name][0]}.npz")
    return {key: torch.from_numpy(arrays[key]) for key in arrays}


def tensors(inputs):
    return [torch.from_numpy(inputs[name]) for name in ("ids", "mask", "types")]


@pytest.mark.parametrize("name", CASES)
def test_the_encoder_computes_what_googles_does(checkpoints, converted, inputs, name):
    folder, _ = converted(name)
    model = load_model(folder, AlbertConfig.from_file(folder)).eval()
    numbers, mask = expected(checkpoints, name), torch.from_numpy(inputs["mask"]).bool()
    with torch.no_grad():
        hidden, pooled = model.albert(*tensors(inputs))
    torch.testing.assert_close(hidden[mask], numbers["hidden"][mask], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(pooled, numbers["pooled"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_hugging_face_computes_what_google_does(checkpoints, converted, inputs, name):
    transformers = pytest.importorskip("transformers")
    folder, _ = converted(name)
    peer = transformers.AlbertModel.from_pretrained(folder).eval()
    numbers, mask = expected(checkpoints, name), torch.from_numpy(inputs["mask"]).bool()
    ids, attention, types = tensors(inputs)
    with torch.no_grad():
        output = peer(ids, attention, token_type_ids=types)
    theirs = output.last_hidden_state[mask]
    torch.testing.assert_close(theirs, numbers["hidden"][mask], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.pooler_output, numbers["pooled"], atol=1e-5, rtol=1e-5)


def test_a_classifier_keeps_its_logits(checkpoints, converted, inputs):
    folder, line = converted("classifier")
    config = AlbertConfig.from_file(folder)
    assert (config.num_labels, config.classifier_input_shift) == (3, 0.0)
    assert config.problem_type == "single_label_classification"
    with torch.no_grad():
        logits = load_model(folder, config).eval()(*tensors(inputs)).logits
    wanted = expected(checkpoints, "classifier")["logits"]
    torch.testing.assert_close(logits, wanted, atol=1e-5, rtol=1e-5)
    assert "a classifier with 3 outputs, input shift 0" in line


def test_the_folder_is_an_ordinary_one(checkpoints, converted, vocabulary):
    folder, line = converted("pretrained")
    found = sorted(file.name for file in folder.iterdir())
    names = ("spiece.model", "tokenizer.json", "tokenizer_config.json")
    assert found == ["config.json", "model.safetensors", *names]
    assert (folder / "spiece.model").read_bytes() == vocabulary.read_bytes()
    values = json.loads((folder / "config.json").read_text())
    assert values["hidden_act"] == "gelu_new"
    changed = ("hidden_act", "vocab_size")
    kept = {key: value for key, value in GOOGLE_CONFIG.items() if key not in changed}
    assert values.items() >= kept.items()
    assert line == (
        f"{checkpoints / 'pretrained' / 'model.ckpt-best'}: ALBERT, 3 layers, hidden size 32, no "
        f"classifier (a pretrained model); written to {folder}\n"
    )


def test_a_training_starts_from_the_folder(converted, sst2, tmp_path):
    folder, _ = converted("pretrained")
    result = command(
        sys.executable, ROOT / "run_classifier.py", "--model_name_or_path", folder, "--data_dir", sst2,
        "--do_train", "--do_eval", "--max_steps", 2, "--max_seq_length", 32, "--device", "cpu",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "(huggingface layout), with a new classifier" in result.stdout + result.stderr


def test_a_checkpoint_of_another_shape_is_named(checkpoints, tmp_path):
    values = json.loads((checkpoints / "pretrained" / "albert_config.json").read_text())
    (tmp_path / "other.json").write_text(json.dumps(values | {"intermediate_size": 20}))
    flags = ("--checkpoint", checkpoints / "pretrained", "--output_dir", tmp_path / "new")
    files = ("--config", tmp_path / "other.json")
    result = command(sys.executable, TOOL, *flags, *files, cwd=tmp_path)
    layer = "bert/encoder/transformer/group_0/inner_group_0"
    words = (
        f"model.ckpt-best does not fit {tmp_path / 'other.json'}: "
        f"{layer}/ffn_1/intermediate/dense/bias is [48], not [20]; "
        f"{layer}/ffn_1/intermediate/dense/kernel is [32, 48], not [32, 20]; "
    )
    assert_one_line(result, 1, words)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("damage", ["no data", "short data"])
def test_a_damaged_checkpoint_is_one_line(checkpoints, source, damage):
    shutil.copytree(checkpoints / "pretrained", source, dirs_exist_ok=True)
    data = next(source.glob("*.data*"))
    if damage == "no data":
        data.unlink()
    else:
        data.write_bytes(data.read_bytes()[:100])
    result = convert(source)
    assert_one_line(result, 1, "model.ckpt-best cannot be read as a checkpoint: ")
    assert not (source.parent / "new").exists()


def test_without_tensorflow_one_line_says_what_to_install(source):
    script = (
        "import sys; sys.modules['tensorflow'] = None; from tools.convert_tf_checkpoint import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    own = ("--checkpoint", source, "--output_dir", source.parent / "new")
    result = command(sys.executable, "-c", script, *own, cwd=ROOT)
    words = f"TensorFlow is not installed in {sys.executable}: python3 -m pip install -r "
    assert_one_line(result, 1, words + "requirements-tensorflow.txt -c constraints.txt")
    assert not (source.parent / "new").exists()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("model.ckpt-best.index", "no TensorFlow checkpoint there; give a folder with a *.index"),
        ("albert_config.json", "no albert_config.json in {0}: name one with --config"),
        (
            "30k-clean.model",
            "30k-clean.model or vocab.txt or tokenizer.json in {0}: name one with --vocabulary",
        ),
    ],
)
def test_a_missing_file_is_named_with_the_remedy(source, file, words):
    (source / file).unlink()
    assert_one_line(convert(source), 1, words.format(source))


def test_one_of_several_checkpoints_is_to_be_named(source):
    (source / "model.ckpt-2000.index").touch()
    words = f"holds model.ckpt-2000, model.ckpt-best: name one, as {source / 'model.ckpt-best'}"
    assert_one_line(convert(source), 2, words)


def test_a_vocabulary_larger_than_the_model_is_refused(source):
    config = json.loads((source / "albert_config.json").read_text()) | {"vocab_size": 50}
    (source / "albert_config.json").write_text(json.dumps(config))
    assert_one_line(convert(source), 1, "but the model's vocab_size is 50")


@pytest.mark.parametrize("name", ["config.json", "pytorch_model.bin"])
def test_nothing_is_written_over(source, name):
    there = source.parent / "new" / name
    there.parent.mkdir()
    there.write_text("mine")
    assert_one_line(convert(source), 2, f"already holds {name}: name another")
    assert [file.name for file in there.parent.iterdir()] == [name]
    assert there.read_text() == "mine"


def test_an_output_that_is_a_file_is_refused(source):
    (source.parent / "new").touch()
    assert_one_line(convert(source), 2, "is no folder: name another")


def small_variables():
    """Google's variables of a small classifier, spelled out, with arrays of Google's shapes."""
    layer = "bert/encoder/transformer/group_0/inner_group_0"
    shapes = {
        "bert/embeddings/word_embeddings": (20, 4),
        "bert/embeddings/position_embeddings": (9, 4),
        "bert/embeddings/token_type_embeddings": (2, 4),
        "bert/embeddings/LayerNorm/gamma": (4,),
        "bert/embeddings/LayerNorm/beta": (4,),
        "bert/encoder/embedding_hidden_mapping_in/kernel": (4, 6),
        "bert/encoder/embedding_hidden_mapping_in/bias": (6,),
        f"{layer}/attention_1/self/query/kernel": (6, 6),
        f"{layer}/attention_1/self/query/bias": (6,),
        f"{layer}/attention_1/self/key/kernel": (6, 6),
        f"{layer}/attention_1/self/key/bias": (6,),
        f"{layer}/attention_1/self/value/kernel": (6, 6),
        f"{layer}/attention_1/self/value/bias": (6,),
        f"{layer}/attention_1/output/dense/kernel": (6, 6),
        f"{layer}/attention_1/output/dense/bias": (6,),
        f"{layer}/LayerNorm/gamma": (6,),
        f"{layer}/LayerNorm/beta": (6,),
        f"{layer}/ffn_1/intermediate/dense/kernel": (6, 8),
        f"{layer}/ffn_1/intermediate/dense/bias": (8,),
        f"{layer}/ffn_1/intermediate/output/dense/kernel": (8, 6),
        f"{layer}/ffn_1/intermediate/output/dense/bias": (6,),
        f"{layer}/LayerNorm_1/gamma": (6,),
        f"{layer}/LayerNorm_1/beta": (6,),
        "bert/pooler/dense/kernel": (6, 6),
        "bert/pooler/dense/bias": (6,),
        "output_weights": (1, 6),
        "output_bias": (1,),
    }
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}


def small_config():
    return AlbertConfig(
        vocab_size=20, embedding_size=4, hidden_size=6, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=9,
    )  # fmt: skip


def build(variables):
    return build_from_variables(variables, small_config(), Path("ckpt"), Path("albert_config.json"))


def test_every_weight_has_googles_name():
    keys = AlbertForSequenceClassification(small_config()).state_dict()
    assert {variable_name(key) for key in keys} == small_variables().keys()
    assert len(keys) == len(small_variables())


def test_one_output_is_a_regression():
    config = build(small_variables()).config
    assert (config.num_labels, config.problem_type) == (1, "regression")
    assert config.classifier_input_shift == 0.0


def test_variables_that_do_not_fit_are_named():
    variables = small_variables()
    del variables["bert/pooler/dense/kernel"]
    variables["end_logits/output_weights"] = np.ones((2, 6))
    variables["output_bias"] = np.ones(2)
    words = (
        "^ckpt does not fit albert_config.json: bert/pooler/dense/kernel is missing; "
        r"end_logits/output_weights is unknown; output_bias is \[2\], not \[1\]; take both from one model$"
    )
    with pytest.raises(ValueError, match=words):
        build(variables)


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("bert/pooler/dense/kernel", True),
        ("output_weights", True),
        ("end_logits/output_weights", True),
        ("global_step", False),
        ("cls/predictions/transform/LayerNorm/gamma", False),
        ("cls/seq_relationship/output_weights", False),
        ("bert/pooler/dense/kernel/adam_m", False),
        ("bert/pooler/dense/kernel/lamb_v", False),
        ("output_weights/AdamWeightDecayOptimizer_1", False),
        ("bert/embeddings/word_embeddings/LAMBOptimizer", False),
    ],
)
def test_only_heads_of_pretraining_and_optimizers_are_left_out(name, used):
    assert is_used(name) == used


@pytest.mark.parametrize(("theirs", "ours"), [("gelu", "gelu_new"), ("relu", "relu")])
def test_googles_gelu_is_the_one_with_tanh(tmp_path, theirs, ours):
    (tmp_path / "albert_config.json").write_text(
        json.dumps(AlbertConfig().to_dict() | {"hidden_act": theirs})
    )
    assert read_google_config(tmp_path / "albert_config.json").hidden_act == ours
