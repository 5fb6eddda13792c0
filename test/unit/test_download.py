"""tools/download.py against a server of the test's own."""

import functools
import http.server
import sys
import threading
import zipfile

import pytest
from crashes import FullDisk
from helpers import ROOT, command, write_sst2

from model.files import digest
from tools import download
from tools.machine.fetching import fetched


@pytest.fixture
def server(tmp_path):
    """A web server over ``tmp_path/site``; yields its address and folder."""
    site = tmp_path / "site"
    site.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}", site
        web.shutdown()


def call(*flags, cwd, **environment):
    return command(sys.executable, "-m", "tools.download", *flags, cwd=ROOT, **environment)


def test_a_task_is_taken_out_of_its_archive(server, tmp_path):
    url, site = server
    source = write_sst2(tmp_path / "source" / "SST-2")
    with zipfile.ZipFile(site / "SST-2.zip", "w") as archive:
        for file in source.iterdir():
            archive.write(file, f"SST-2/{file.name}")
    flags = ("sst-2", "--data_path", tmp_path / "data", "--glue_url", url)
    result = call(*flags, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for file in source.iterdir():
        assert (tmp_path / "data" / "SST-2" / file.name).read_bytes() == file.read_bytes()
    (tmp_path / "data" / "SST-2" / "dev.tsv").write_text("mine")
    assert call(*flags, cwd=tmp_path).returncode == 0
    assert (tmp_path / "data" / "SST-2" / "dev.tsv").read_text() == "mine"


def test_a_model_comes_from_the_hub_or_its_mirror(server, tmp_path):
    url, site = server
    files = site / "albert" / "albert-base-v2" / "resolve" / "main"
    files.mkdir(parents=True)
    for name in download.MODEL_FILES:
        (files / name).write_text(f"this is {name}")
    result = call(
        "albert_base_v2", "--model_path", tmp_path / "models", cwd=tmp_path, HF_ENDPOINT=url
    )
    # The vocabulary's digest is known, so a changed one is refused.
    assert result.returncode == 1
    assert "spiece.model of albert/albert-base-v2 is not the published one" in result.stderr
    assert (tmp_path / "models" / "albert_base_v2" / "config.json").is_file()
    assert not (tmp_path / "models" / "albert_base_v2" / "spiece.model").exists()


def test_the_published_vocabulary_is_accepted(server, tmp_path, monkeypatch):
    url, site = server
    files = site / "albert" / "albert-base-v2" / "resolve" / "main"
    files.mkdir(parents=True)
    for name in download.MODEL_FILES:
        (files / name).write_text(name)
    monkeypatch.setitem(download.SHA256, "spiece.model", digest(b"spiece.model"))
    download.download_model("albert_base_v2", tmp_path, url)
    found = sorted(file.name for file in (tmp_path / "albert_base_v2").iterdir())
    assert found == sorted(download.MODEL_FILES)


@pytest.mark.parametrize("content", [None, b"<html>"])
def test_what_cannot_be_had_is_one_line(server, tmp_path, content):
    url, site = server
    if content is not None:
        (site / "SST-2.zip").write_bytes(content)
    result = call("sst-2", "--data_path", tmp_path / "data", "--glue_url", url, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"{url}/SST-2.zip" in result.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [(("albert_base_v2", "--data_path=x"), "--data_path is about data sets, and none is to be"),
     (("sst-2", "--model_path=x"), "--model_path is about models, and none is to be fetched")],
)  # fmt: skip
def test_a_flag_about_nothing_that_is_fetched_is_refused(capsys, words, said):
    with pytest.raises(SystemExit) as ended:
        download.main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_full_disk_is_said_with_the_folder(tmp_path):
    words = f"no space is left on the disk of {tmp_path / 'new'}: free some there"
    for after in range(4):  # as it makes the folder, opens the file, writes to it
        with FullDisk(tmp_path, after).installed(), pytest.raises(OSError, match=words):
            download.write(tmp_path / "new" / "train.tsv", b"x" * 100_000)
    assert not list((tmp_path / "new").iterdir())


@pytest.fixture
def flaky():
    """A server that knows ranges, and breaks each connection after so many bytes; yields it and them.

    What it is to send, how many bytes at once, and the ranges that it was asked for are its attributes.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            start = 0
            if self.headers.get("If-Range") == web.tag and "Range" in self.headers:
                start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            web.starts.append(start)
            rest = web.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.send_header("ETag", web.tag)
            self.end_headers()
            self.wfile.write(rest[: web.at_once])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        web.content, web.at_once, web.tag, web.starts = bytes(range(250)) * 400, 40_000, '"a"', []
        threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        yield web, f"http://127.0.0.1:{web.server_port}/x.bin"
        web.shutdown()


def test_a_download_that_breaks_goes_on(flaky, tmp_path):
    web, url = flaky
    part = tmp_path / "new" / "part"
    with fetched(url, part) as file:
        assert file.read_bytes() == web.content
    assert web.starts == [0, 40_000, 80_000]
    assert list(tmp_path.iterdir()) == []


def test_what_came_before_an_end_is_not_fetched_again(flaky, tmp_path, monkeypatch):
    web, url = flaky
    part = tmp_path / "part"
    monkeypatch.setattr("tools.machine.fetching._TRIES", 1)
    words = (
        r"x.bin could not be downloaded: the connection broke after 40,000 of 100,000 bytes; 40,000"
    )
    with pytest.raises(ConnectionError, match=words), fetched(url, part):
        pytest.fail("it is not whole")
    web.at_once = 10**6
    with fetched(url, part) as file:
        assert file.read_bytes() == web.content
    assert web.starts == [0, 40_000]
    # Of another content by the same name nothing is kept.
    web.at_once, web.tag = 40_000, '"b"'
    with pytest.raises(ConnectionError), fetched(url, part):
        pass
    web.content, web.tag, web.at_once = web.content[::-1], '"c"', 10**6
    with fetched(url, part) as file:
        assert file.read_bytes() == web.content
    assert list(tmp_path.iterdir()) == []


def test_how_far_it_is_is_said_where_there_is_no_terminal(flaky, tmp_path, monkeypatch, capsys):
    web, url = flaky
    monkeypatch.setattr("tools.machine.fetching._QUIET_SECONDS", -1)
    with fetched(url, tmp_path / "part"):
        said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "x.bin: 100,000 of 100,000 bytes so far"
    assert said.err == ""
