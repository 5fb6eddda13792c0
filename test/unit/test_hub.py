"""A model may be named as on the Hugging Face hub: here a server of the test's own."""

import json
import logging
import sys
from pathlib import Path

import pytest
from hub_server import COMMIT, hub_of

from tools.machine.hub import hub_name

pytest.importorskip("huggingface_hub", reason="models of the hub are fetched by its package")


@pytest.fixture(scope="module")
def hub(pretrained):
    """Serve the small model under several names; yields the address and the paths asked for."""
    files = {file.name: file.read_bytes() for file in pretrained.iterdir()}
    whole = {**files, "README.md": b"x", "tf_model.h5": b"x", "pytorch_model.bin": b"not this one"}
    old = {**files, "pytorch_model.bin": files["model.safetensors"]}
    del old["model.safetensors"]
    bare = {"config.json": files["config.json"]}
    models = {"albert/albert-base-v2": whole, "me/old": old, "me/gated": None, "me/bare": bare}
    with hub_of(models) as (address, asked):
        yield address, asked


@pytest.fixture
def here(hub, monkeypatch, tmp_path):
    """Have the hub be that one, and what is fetched kept in ``tmp_path``."""
    address, asked = hub
    asked.clear()
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return asked


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ("albert-base-v2", "albert/albert-base-v2"),
        ("albert-xxlarge-v1", "albert/albert-xxlarge-v1"),
        ("voidful/albert_chinese_base", "voidful/albert_chinese_base"),
        ("albert_base_v2", None),
        ("./prev_trained_model/albert_base_v2", None),
        ("outputs/SST-2", None),
        ("there/model", None),
        ("nowhere", None),
        ("a/b/c", None),
    ],
)
def test_what_is_a_name_of_the_hub(tmp_path, monkeypatch, named, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert hub_name(Path(named)) == name
    (tmp_path / named).mkdir(parents=True, exist_ok=True)
    assert hub_name(tmp_path / named) is hub_name(Path("there")) is None


def test_a_run_starts_from_a_model_of_the_hub(here, program, sst2, tmp_path, monkeypatch, capsys):
    flags = ("--data_dir", sst2, "--do_train", "--max_steps=1", "--save_steps=0")
    name = ("--model_name_or_path", "albert-base-v2")
    assert program(*flags, *name, "--output_dir=out") == 0
    folder = tmp_path / "cache" / "models--albert--albert-base-v2" / "snapshots" / COMMIT
    said = capsys.readouterr().out
    assert (
        "--model_name_or_path albert-base-v2: albert/albert-base-v2 of the Hugging Face hub" in said
    )
    fetched = {file.name for file in folder.iterdir()}
    assert {"config.json", "model.safetensors", "spiece.model"} <= fetched
    assert not fetched & {"README.md", "tf_model.h5", "pytorch_model.bin"}
    # The record has the name, with which it is repeated.
    recorded = json.loads((tmp_path / "out" / "training_args.json").read_text())
    assert recorded["model_name_or_path"] == "albert-base-v2"
    # What is here needs no hub.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    here.clear()
    assert program(*flags, *name, "--output_dir=offline") == 0
    assert here == []
    assert logging.getLogger("httpx2").level == logging.getLogger("httpx").level == logging.WARNING


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("me/no",), 2, "has no model me/no for everybody: correct the name, or set HF_TOKEN"),
        (("me/gated",), 2, "its owners say who gets it: ask for it at"),
        (("me/old", "--model_revision=x"), 2, "--model_revision x: me/old has no such branch"),
        (("me/a..b",), 2, "there is no such folder"),
        (("me/bare",), 2, "no vocabulary in"),
        (("me/old", "--config_name=me/no"), 2, "--config_name me/no: there is no such folder"),
    ],
)
def test_what_the_hub_has_not_is_one_line(here, refused, sst2, words, status, said):
    name, *more = words
    flags = ("--data_dir", sst2, "--do_train", "--model_name_or_path", name, *more)
    assert said in refused(*flags, status=status)


def test_what_cannot_be_fetched_is_one_line(here, refused, sst2, monkeypatch, tmp_path, pretrained):
    flags = ("--data_dir", sst2, "--do_train")
    old = ("--model_name_or_path", "me/old")
    with monkeypatch.context() as changed:
        changed.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
        line = refused(*flags, *old, status=1)
        assert "http://127.0.0.1:1 cannot be reached, or fails (" in line
        assert "name a mirror with HF_ENDPOINT" in line
        changed.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        line = refused(*flags, *old, status=2)
        assert f"{tmp_path / 'cache'} does not hold me/old, and HF_HUB_OFFLINE is set" in line
    with monkeypatch.context() as changed:
        changed.setitem(sys.modules, "huggingface_hub", None)
        line = refused(*flags, *old, status=2)
        assert "-m pip install huggingface_hub; or python -m tools.download albert_base_v2" in line
    line = refused(*flags, "--model_revision=v1", status=2)
    assert "--model_revision v1 is of a model of the hub, and none is named" in line


def test_predict_asks_the_hub_as_well(here, ask):
    status, _, said = ask("me/old", "a film")
    assert status == 2
    assert "pytorch_model.bin is of a pretrained model, without a classifier" in said
    status, _, said = ask("me/no", "a film")
    assert (status, "--model me/no: there is no such folder" in said) == (2, True)
