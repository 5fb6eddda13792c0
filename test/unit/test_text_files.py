"""A file is text in the encoding that is said, or one line tells what it is and what to do."""

import bz2
import gzip
import io
import re
import shlex
import subprocess
import zipfile
from pathlib import Path

import pytest

from model.file_kinds import what_it_is
from processors.custom import custom_task
from processors.reading import read_examples
from processors.text_files import canonical_encoding, decode, guess_encoding

CHINESE = "这部电影很好看，我们都喜欢\n剧情太差了，演员也不行\n"
TRADITIONAL = "這部電影很好看，我們都喜歡\n劇情太差了，演員也不行\n"
FRENCH = "un film très émouvant\nun scénario raté, et trop long\n"


@pytest.mark.parametrize(
    ("text", "encoding", "called"),
    [
        (CHINESE, "gb18030", "GB18030"),
        (TRADITIONAL, "big5", "Big5"),
        (FRENCH, "cp1252", "cp1252 (Western European"),
        (FRENCH + "“quoted”\n", "cp1252", "cp1252 (Western European"),
        (FRENCH, "latin-1", "cp1252 (Western European"),
        (FRENCH, "utf-16", "UTF-16"),
        (CHINESE, "utf-16", "UTF-16"),
        (CHINESE, "utf-16-le", "UTF-16-LE"),
        ("ascii\n", "utf-16-be", "UTF-16-BE"),
        (FRENCH, "utf-32", "UTF-32"),
    ],
)
def test_another_encoding_is_named_and_its_remedies_work(tmp_path, text, encoding, called):
    path = tmp_path / "a b.txt"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(ValueError, match="line 1: ") as caught:
        decode(path.read_bytes(), str(path), path=path)
    line = str(caught.value)
    assert line.startswith(f"{path}, line 1: ")
    assert f", probably {called}" in line
    name = line.split(" give --encoding ")[1].split(",")[0]
    assert decode(path.read_bytes(), str(path), canonical_encoding(name)) == text
    iconv = line.split(" or convert it: ")[1]
    subprocess.run(iconv, shell=True, check=True)
    converted = Path(shlex.split(iconv)[-1])
    assert decode(converted.read_bytes(), "") == text


def test_the_line_is_that_of_the_first_wrong_byte():
    data = b"plain\nplain\n" + FRENCH.encode("cp1252")
    with pytest.raises(
        ValueError, match="standard input, line 3: not UTF-8, probably cp1252.* pipe it"
    ):
        decode(data, "standard input")


UNKNOWN = "line 1: not UTF-8, and its bytes do not tell what else: give --encoding NAME"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("звёзды и поэт\n".encode("koi8-r"), UNKNOWN),
        (
            "この映画はとても面白くて感動しました。俳優の演技も素晴らしかった。\n".encode("euc-jp"),
            UNKNOWN,
        ),
        ("이 영화는 정말 재미있고 감동적이었다\n".encode("euc-kr"), UNKNOWN),
        (CHINESE.encode() + b"\xe4\xbd\n", "line 3: not UTF-8 there, though most of the file is"),
        (CHINESE.encode()[:-2], "line 2: not UTF-8 there, though most of the file is"),
        (b"\xff\xff\xff", "line 1: not UTF-8, and its bytes do not tell"),
    ],
)
def test_no_more_is_said_than_is_known(data, words):
    with pytest.raises(ValueError, match=words):
        decode(data, "x.txt")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_plain_letters_are_no_signs_of_another_writing(encoding):
    with pytest.raises(ValueError, match="x: not UTF-.*, which --encoding says, but UTF-8: leave"):
        decode(b"good film!\nbad film?\n\nmore..", "x", encoding)


def test_a_wrong_encoding_flag_is_told():
    with pytest.raises(
        ValueError, match="x, line 1: not ASCII, which --encoding says, but UTF-8: lea"
    ):
        decode("été ü\n".encode(), "x", "ascii")
    with pytest.raises(
        ValueError, match="x, line 2: not ASCII, which --encoding says: the file is dam"
    ):
        decode(b"a\n\xff", "x", "ascii")
    with pytest.raises(ValueError, match="x, line 2: no text in UTF-7"):
        decode(b"a\n+2AA-", "x", "utf-7")


def test_utf8_that_another_encoding_reads_too_is_warned_of(caplog):
    decode(CHINESE.encode(), "x.txt", "cp437")
    assert "x.txt is valid UTF-8, and is read as cp437 all the same" in caplog.text


@pytest.mark.parametrize("name", ["utf-8", "UTF8", "utf-8-sig", "cp65001"])
def test_utf8_has_one_name_and_may_have_a_mark(name):
    assert canonical_encoding(name) == "utf-8"
    assert decode("\ufeffa".encode(), "x") == "a"


@pytest.mark.parametrize(
    "name", ["", "gibberish", "hex", "rot13", "idna", "unicode_escape", "a\0b", "ü"]
)
def test_what_is_no_encoding_is_refused(name):
    with pytest.raises(LookupError):
        canonical_encoding(name)


@pytest.mark.parametrize("name", ["gb18030", "gbk", "Big5", "latin-1", "cp1252", "utf_16", "utf-7"])
def test_encodings_go_by_python_s_names(name):
    assert "a".encode(canonical_encoding(name)) == "a".encode(name)


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "content")  # Without the time of now.
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(b"a", mtime=0), "is a gzip file: rename it to train.csv.gz"),
        (
            zipped("[Content_Types].xml", "xl/workbook.xml"),
            "is an Excel workbook: save it as CSV UTF-8",
        ),
        (zipped("train.csv"), "is a zip archive: unpack it"),
        (zipped("mimetype", "content.xml"), "is a LibreOffice document: save it as CSV UTF-8"),
        (zipped("a")[:40], "is a zip archive (such as an Excel workbook) that is cut off"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 9, "is an Excel workbook (.xls)"),
        (b"PAR1\x15\x04\x15", "is a Parquet file: rename it to train.parquet"),
        (b'{"sentence": "a"}\n{"sentence": "b"}\n', "is JSON lines: rename it to train.jsonl"),
        (b'[\n {"sentence": "a"}\n]\n', "is a JSON file: write it as CSV"),
        (b'{"data": [1]}', "is a JSON file: write it as CSV"),
        (b"<!DOCTYPE html>\n<title>404</title>", "is a web page: download the file itself"),
        (b"\n<html>", "is a web page: download the file itself"),
        (b'<?xml version="1.0"?><rows/>', "is an XML file: save it as CSV UTF-8"),
        (LFS, "is a Git LFS pointer, not the data: run `git lfs pull`"),
        (b"BZh91AY&SY", "is a bzip2 file"),
        (b"%PDF-1.4", "is a PDF file"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_other_kinds_of_files_are_named_with_the_remedy(tmp_path, data, words, encoding):
    path = tmp_path / "train.csv"
    path.write_bytes(data)
    task = custom_task({"train": None, "dev": None, "test": None}, ("sentence",), "label", False)
    with pytest.raises(ValueError, match="train.csv is ") as caught:
        read_examples(task, path, "test")
    assert str(caught.value).startswith(f"{path} {words}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "[a film] of note\n",
        "{ }\n",
        "[1]\n",
        "PAR1\tlabel\n",
        "<b>bold</b>\n",
        "PK\n",
        "[[[[\n",
        "{\n",
    ],
)
def test_text_that_begins_like_them_is_text(text):
    assert decode(text.encode(), "x", is_table=True) == text


@pytest.mark.parametrize(
    "text",
    [
        '{"sentence": "a"}\n{"sentence": "b"}\n',
        '{"data": [1]}',
        "<html> is how a page begins\n",
        "<?xml\n",
        "%PDF-1.4 is what a PDF begins with\n",
        "version https://git-lfs.github.com/spec/v1 is new\n",
        "PAR1é\n",
    ],
)
def test_lines_of_text_may_be_json_or_markup(text):
    assert decode(text.encode(), "x") == text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj", "is a PDF file: get the data as text"),
        (LFS.replace(b"00", b"0f" * 32), "is a Git LFS pointer, not the data: run `git lfs pull`"),
        (b"PAR1\x15\x04\x15", "is a Parquet file"),
        (zipped("train.csv"), "is a zip archive: unpack it"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_what_nobody_means_as_lines_is_refused(data, words, encoding):
    with pytest.raises(ValueError, match=f"^x {re.escape(words)}"):
        decode(data, "x", encoding)


@pytest.mark.parametrize(
    ("data", "in_a_model", "among_data"),
    [
        (gzip.compress(b"a", mtime=0), "it is gzip (tar xf, or gunzip)", "a gzip file: gunzip it"),
        (bz2.compress(b"a"), "it is bzip2 (tar xf, or bunzip2)", "a bzip2 file: bunzip2 it"),
        (bz2.compress(b""), "it is bzip2 (tar xf, or bunzip2)", "a bzip2 file: bunzip2 it"),
        (b"\xfd7zXZ\0\0", "it is xz (tar xf, or unxz)", "an xz file: unxz it"),
        (b"\x28\xb5\x2f\xfd", "it is zstd (tar xf, or unzstd)", "a zstd file: unzstd it"),
        (b"7z\xbc\xaf\x27\x1c", "it is 7-Zip (7z x)", "a 7z archive: unpack it"),
        (b"Rar!\x1a\x07\0", "it is RAR (unrar x)", "a rar archive: unpack it"),
    ],
)
def test_what_is_packed_is_named_among_data_and_in_a_model(data, in_a_model, among_data):
    assert what_it_is(data).endswith(in_a_model)
    with pytest.raises(ValueError, match=f"^x is {re.escape(among_data)}$"):
        decode(data, "x")


def test_short_and_odd_data_are_nobody_s_encoding():
    assert [guess_encoding(data) for data in (b"\x80\x81", b"a\0", b"\xe9\xe9")] == [None] * 3
