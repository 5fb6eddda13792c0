"""Nothing is silent for long: a log gets a line while something takes its time."""

import gc
import logging
import threading
import time

import pytest
from helpers import wait_until

from callback import heartbeat
from callback.heartbeat import still
from callback.progressbar import ProgressBar
from tools import predict
from tools.run import page, scoring, start

logger = logging.getLogger(__name__)


class Clock:
    """Its seconds pass when the test says so."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
def lines(caplog):
    caplog.set_level(logging.INFO)
    before = logging.root.handlers[:]
    yield caplog
    assert logging.root.handlers == before  # Nothing watches the log any more.


def test_a_line_comes_when_the_log_was_silent_for_long_enough(caplog):
    clock = Clock()
    with still("reading a.tsv", clock=clock) as beat:
        for seconds, said in ((9.9, False), (0.1, True), (9.9, False), (0.1, True)):
            clock.now += seconds
            caplog.clear()
            beat.look()
            assert bool(caplog.messages) == said
        assert caplog.messages == ["still reading a.tsv, 20 s so far"]
        clock.now += 9.0
        logger.info("another line, of whomever")
        clock.now += 9.0
        beat.look()
        assert caplog.messages[-1] == "another line, of whomever"


def test_a_program_without_a_log_prints_the_line(capsys):
    clock = Clock()
    with still("learning", clock=clock, is_logged=False) as beat:
        clock.now += 10.0
        beat.look()
    assert capsys.readouterr().err == "still learning, 10 s so far\n"


def test_a_bar_tells_where_it_is_in_the_middle_of_a_step(caplog, monkeypatch):
    monkeypatch.setattr(heartbeat, "_LOOK_SECONDS", 0.01)
    bar = ProgressBar("Training", 6, initial=2, quiet=0.0)
    wait_until(lambda: caplog.messages, 10)
    assert set(caplog.messages) == {"[Training] 2/6"}
    bar.advance()
    caplog.clear()
    wait_until(lambda: caplog.messages, 10)
    bar.close()
    assert caplog.messages[0].startswith("[Training] 3/6  ETA ")


def test_what_an_error_left_open_says_nothing_more(monkeypatch):
    monkeypatch.setattr(heartbeat, "_LOOK_SECONDS", 0.01)
    bar = ProgressBar("Training", 6)
    (thread,) = (t for t in threading.enumerate() if t.name == "heartbeat" and t.is_alive())
    del bar
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_only_the_first_process_says_so():
    before = threading.active_count()
    with still("reading", enabled=False):
        bar = ProgressBar("Training", 6, enabled=False)
        assert threading.active_count() == before
    bar.close()


def test_a_run_says_what_it_still_does(program, sst2, tmp_path, monkeypatch, capsys):
    def slowly(module, name):
        function = getattr(module, name)

        def slow(*arguments, **others):
            time.sleep(0.1)
            return function(*arguments, **others)

        monkeypatch.setattr(module, name, slow)

    slowly(start, "load_features")
    slowly(start, "log_data_check")
    slowly(scoring.Scores, "of")
    slowly(page, "write_report_page")
    monkeypatch.setattr(heartbeat, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(heartbeat, "QUIET_SECONDS", 0.05)
    flags = ("--do_train", "--do_eval", "--max_steps=1", "--output_dir", tmp_path / "out")
    assert program(*flags) == 0
    lines = capsys.readouterr().out.splitlines()
    for what in (
        "reading dataset/SST-2/train.tsv",
        "comparing the inputs with each other",
        "computing the metrics and their intervals",
        "writing report.html",
    ):
        assert f"still {what}, 0 s so far" in lines


def test_a_table_that_takes_long_to_classify_is_counted(small_model, ask, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "_CHUNK", 2)
    monkeypatch.setattr(heartbeat, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(heartbeat, "QUIET_SECONDS", 0.0)
    classify = predict.classify

    def classify_slowly(*arguments):
        time.sleep(0.1)
        return classify(*arguments)

    monkeypatch.setattr(predict, "classify", classify_slowly)
    table = tmp_path / "a.csv"
    table.write_text("".join(f"{text}\n" for text in ("sentence", *"abcdefg")))
    words = ("--file", table, "--text_columns=sentence")
    status, _, said = ask(small_model(False), *words, "--output", tmp_path / "b.csv", shows=False)
    assert status == 0
    assert "2 of 7 inputs so far" in said.splitlines()
    status, records, said = ask(small_model(False), *words)
    assert (len(records), "so far" in said) == (7, False)
