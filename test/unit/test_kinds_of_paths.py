"""What a flag names that is there, but a folder in place of a file or the other way round, is no lack."""

import pytest

from model.configuration_albert import AlbertConfig
from processors.text_files import read_text

OWN = ("--task_name=custom", "--text_columns=sentence", "--label_column=label")


@pytest.fixture
def there(tmp_path, pretrained):
    """A folder with nothing in it, a file, and a folder with a vocabulary alone."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--spm_model_file=folder",),
         "folder is a folder, not a file, which --tokenizer_name would take (--spm_model_file)"),
        (("--vocab_file=folder",), "folder is a folder, not a file, which --tokenizer_name would"),
        (("--spm_model_file=file/spiece.model",), "file is a file, not a folder"),
        (("--tokenizer_name=file",),
         "file is a file, not a folder, which --spm_model_file would take (--tokenizer_name): correct"),
        (("--tokenizer_name=folder",), "no vocabulary in folder: looked for spiece.model, 30k-clean.mo"),
        (("--model_name_or_path=file",),
         "file is a file, not a folder (--model_name_or_path); give --model_name_or_path the folder that"),
        (("--config_name=folder",),
         "no config.json in folder (--config_name): correct that, or leave it out and take the model's"),
        (("--config_name=file/config.json",), "file is a file, not a folder (--config_name): correct"),
        (("--data_dir=file",), "file is a file, not a folder (--data_dir); give --data_dir the folder"),
        ((*OWN, "--train_file=folder"), "folder is a folder, not a file (--train_file): name a file"),
        ((*OWN, "--train_file=file/a.tsv"), "file is a file, not a folder (--train_file): name a file"),
    ],
)  # fmt: skip
def test_a_path_of_another_kind_is_named_with_its_flag(refused, there, sst2, flags, words):
    data = () if flags[0] in OWN else ("--data_dir", sst2)
    line = refused("--do_train", *data, *flags, status=2)
    assert words in line
    assert "is missing" not in line


def test_a_configuration_may_have_any_name(refused, there, pretrained, sst2):
    (there / "file").write_bytes((pretrained / "model.safetensors").read_bytes())
    line = refused("--do_train", "--data_dir", sst2, "--config_name=file", status=1)
    assert "file is no ALBERT configuration: it holds weights (safetensors)" in line


def test_readers_say_it_too(there):
    (there / "folder" / "config.json").mkdir()
    with pytest.raises(IsADirectoryError, match="config.json is a folder, not a file"):
        AlbertConfig.from_file(there / "folder")
    with pytest.raises(FileNotFoundError, match="folder is a folder, not a file"):
        read_text(there / "folder")
    with pytest.raises(FileNotFoundError, match="file is a file, not a folder"):
        read_text(there / "file" / "train.tsv")
