"""report.html: of whole folders and of old ones, safe whatever the data hold; one page of many runs."""

import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile

import pytest
from helpers import start_command
from run_folders import HOSTILE, classes, labels, numbers, run_of, steps, write_run

from tools import report
from tools.results import picture
from tools.results.report_page import report_page, write_report_page
from tools.results.run_folder import RunFolder
from tools.run import page

BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
# Puts the page into a frame as wide as a phone, and says how wide it then is.
MEASURING = """<script>const frame = document.createElement('iframe');
frame.style.cssText = 'width:360px;height:800px;border:0';
frame.srcdoc = document.documentElement.outerHTML.replace(/<script>const[^]*/, '');
frame.onload = () => {
  const root = frame.contentDocument.documentElement;
  document.documentElement.lang = root.scrollWidth + ' of ' + root.clientWidth;
  frame.remove();
};
document.body.append(frame);</script></body>"""


def evaluation(step, **values):
    return {"event": "eval", "step": step, "examples": 40, "acc": 0.7, "loss": 0.6, **values}


@pytest.fixture
def run(tmp_path):
    """The folder of a whole run, with markup wherever the data have their say."""
    found = run_of(
        intervals={"acc": [0.6, 0.86]},
        baseline={"acc": 0.5, "class": HOSTILE},
        command=["run_classifier.py", HOSTILE],
        error=HOSTILE,
        device={"name": HOSTILE, "kind": "cpu"},
        data={"train": {"path": HOSTILE, "rows": 9, "classes": {HOSTILE: 5, "good": 4}}},
        data_check={"train": {"rows": 9, "duplicates": 2}, "lines": [HOSTILE]},
    )
    records = [*steps(), evaluation(20), evaluation(40)]
    return write_run(tmp_path / "run", found, records, classes(texts=(HOSTILE, "b" * 300)))


def test_a_page_answers_in_the_order_of_the_asking(run):
    text = report_page(RunFolder(run))
    assert re.findall(r"<h[12]>(.*?)</h[12]>", text) == [
        "Better than the baseline.",
        "How it was trained",
        "What it takes for what",
        "Most wrong",
        "The data",
        "What next",
        "How to make it again",
    ]
    assert "accuracy is 0.750" in text
    assert "between 0.600 and 0.860 (95 % interval, Wilson)" in text
    assert "those of step 20, the best of 2 evaluations on this dev set, which flatters" in text
    assert (
        "10 of the 40 answers are wrong; most often “bad” is taken for “good” (10 of 20 times)."
        in text
    )
    assert "Each has its line in the file that it is from" in text
    ids = re.findall(r' id="(.*?)"', text)
    assert len(ids) == len(set(ids))
    figures = re.findall(r"<h3>(.*?)</h3>", text)
    assert figures[:4] == ["Loss", "Dev accuracy", "Learning rate", "Gradient norm"]
    assert figures[-2:] == ["Calibration", "Short and long inputs"]
    assert text.count('<li><div class="text">') == 10


def test_a_page_tells_what_to_type_next(run):
    text = report_page(RunFolder(run))
    assert f"python -m tools.compare OTHER {run}" in text
    assert "<code><span>python</span> <span>run_classifier.py</span> " in text
    assert "tools.export" not in text  # There is no model in the folder.
    (run / "model.safetensors").touch()
    text = report_page(RunFolder(run))
    assert f"python -m tools.predict --model {run} --file TABLE" in text
    assert f"python -m tools.export --model {run} --output shipped/run" in text


def test_a_page_is_text_whatever_the_data_hold_and_loads_nothing(run):
    text = report_page(RunFolder(run))
    assert text.count("&lt;script&gt;document.title") > 5
    assert "<script" not in text
    assert "<img" not in text
    assert not re.findall(r'(?:src|href)="(?!#)', text)
    assert "default-src &#x27;none&#x27;" in text


@pytest.mark.parametrize(
    ("records", "predictions", "words"),
    [
        ([{"event": "step", "step": n, "loss": 1 / n} for n in (1, 2)], [], "Trained, but not scored."),
        ([{"event": "eval", "model": "model", "acc": 0.5}], [], "Scored, without a baseline."),
        ([], [], "Nothing is scored yet."),
        ([{"event": "eval", "model": "model", "acc": float("nan")}], [], "Nothing is scored yet."),
        ([], [{"label": "a", "prediction": "a", "probabilities": {"a": 1.0}}], "What it takes for what"),
        (steps(1), numbers(), "Where it errs"),
        ([], labels(), "Label by label"),
    ],
)  # fmt: skip
def test_an_old_folder_gives_a_page_with_what_there_is(tmp_path, records, predictions, words):
    text = report_page(RunFolder(write_run(tmp_path, records=records, predictions=predictions)))
    assert words in text


def test_an_evaluation_alone_is_no_curve(tmp_path):
    records = [{"event": "eval", "model": "model", "examples": 40, "acc": 0.75}]
    text = report_page(
        RunFolder(write_run(tmp_path, run_of(steps=0, kept=None), records, classes()))
    )
    assert "How it was trained" not in text
    assert "What it takes for what" in text


def test_two_dev_files_come_in_their_order(tmp_path):
    write_run(tmp_path, predictions=classes())
    metrics = {"acc": 0.75, "acc_mm": 0.5, "loss": 1.0, "loss_mm": 2.25}
    record = run_of({"acc": 0.75}, results={"model": metrics | {"examples": 80}})
    curve = [evaluation(20, acc_mm=0.5, loss_mm=2.25), evaluation(40, acc_mm=0.5, loss_mm=2.25)]
    write_run(tmp_path, record, curve, classes(), suffix="-mm")
    text = report_page(RunFolder(tmp_path))
    assert (
        "On the 40 examples of the dev set the model’s accuracy is 0.750. Also: accuracy (mm) 0.500."
        in text
    )
    assert "dev loss (mm)" not in text.split("Every evaluation as a table")[0]
    assert re.findall(r"<h2>(What it.*?)</h2>", text) == [
        "What it takes for what",
        "What it takes for what (dev-mm)",
    ]


def test_a_failed_run_says_so_first(tmp_path):
    found = {"status": "failed", "error": "the loss is nan at step 1"}
    text = report_page(RunFolder(write_run(tmp_path, found)))
    assert "This run failed." in text
    assert "the loss is nan at step 1" in text


def test_many_classes_stay_a_page(tmp_path):
    names = [f"class {number}" for number in range(60)]
    said = [
        {
            "id": row, "text": "a", "label": names[row % 60], "prediction": names[row * 7 % 60],
            "probabilities": dict.fromkeys(names, 0.0) | {names[row * 7 % 60]: 1.0},
            "tokens": 3, "cut": False,
        }
        for row in range(300)
    ]  # fmt: skip
    text = report_page(RunFolder(write_run(tmp_path, predictions=said)))
    assert "49 others" in text
    assert "Most often confused" in text
    assert len(text) < 200_000


def test_100_000_steps_are_less_than_a_megabyte(tmp_path):
    folder = RunFolder(write_run(tmp_path, run_of(), predictions=classes()))
    folder.__dict__["records"] = [
        {"event": "step", "step": step, "loss": step % 97 + 1.0, "grad_norm": step % 89 + 0.1}
        for step in range(100_000)
    ]
    text = report_page(folder)
    assert 50_000 < len(text) < 1_000_000


def test_the_command_writes_a_page_of_one_run_or_of_several(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)
    other = write_run(
        tmp_path / "other",
        run_of({"acc": 0.9}, {"acc": [0.87, 0.93]}, flags={"learning_rate": 9.0}),
        steps(),
    )
    try:
        assert report.main([str(run)]) == 0
        assert report.main([str(run), str(other)]) == 0
        assert report.main([str(run), str(run / ".." / "run")]) == 2
        (tmp_path / "mine.html").write_text("mine")
        assert report.main([str(run), "--output", "mine.html"]) == 2
        assert report.main([str(tmp_path)]) == 2
    finally:
        signal.signal(signal.SIGTERM, handler)
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(run / "report.html"), "runs.html"]
    twice, taken, none = said.err.splitlines()
    assert "is named twice" in twice
    assert "mine.html is no page of a run" in taken
    assert "neither run.json nor metrics.jsonl" in none
    assert (tmp_path / "mine.html").read_text() == "mine"
    text = (tmp_path / "runs.html").read_text()
    assert "“other” is best, beyond the intervals." in text
    assert re.search(r"<th scope=\"row\">learning_rate</th><td>0.001</td><td>9.0</td>", text)


def test_scores_of_different_dev_sets_are_not_compared(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = write_run(
        tmp_path / "other",
        run_of({"acc": 0.9}) | {"results": {"model": {"acc": 0.9, "examples": 7}}},
    )
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert report.main([str(run), str(other)]) == 0
    finally:
        signal.signal(signal.SIGTERM, handler)
    text = (tmp_path / "runs.html").read_text()
    assert "Their scores cannot be compared." in text
    assert "different dev sets" in text


def test_a_run_leaves_its_page_and_says_where(program, sst2, tmp_path, capsys):
    flags = ("--do_train", "--do_eval", "--max_steps=2", "--save_steps=0", "--output_dir=out")
    assert program(*flags, "--data_dir", sst2) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last == "report: out/report.html"
    text = (tmp_path / "out" / "report.html").read_text()
    assert "accuracy" in text
    assert "Most wrong" in text


class Main:
    is_main = True


def test_a_page_that_cannot_be_written_is_a_warning(run, monkeypatch, caplog):
    def fail(folder):
        raise ValueError("no page today")

    monkeypatch.setattr(page, "write_report_page", fail)
    with caplog.at_level(logging.INFO), page.leaving_page(run, Main):
        pass
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "report.html is not written: no page today")
    ]


def test_the_picture_needs_matplotlib_and_says_so_once(run, monkeypatch, caplog):
    monkeypatch.setattr(picture.importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO):
        write_report_page(run)
    (line,) = caplog.records
    assert (line.levelname, line.getMessage()[:26]) == ("INFO", "curves.png is left out, wh")
    assert not (run / "curves.png").exists()


def test_the_picture_of_the_curves_is_drawn(run, caplog):
    pytest.importorskip("matplotlib", reason="curves.png needs matplotlib")
    write_report_page(run)
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert caplog.records == []


@pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here, which shows the page as its readers see it"
)
def test_a_browser_shows_the_page_on_a_phone_and_prints_two_sheets(run, tmp_path):
    text = report_page(RunFolder(run))
    policy = "default-src &#x27;none&#x27;;"
    assert policy in text
    # Here scripts may run: one of the data's would, too.
    text = text.replace(policy, f"{policy} script-src &#x27;unsafe-inline&#x27;;")
    shown = tmp_path / "shown.html"
    shown.write_text(text.replace("</body>", MEASURING))
    printed = tmp_path / "printed.pdf"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
            "--enable-logging=stderr", f"--print-to-pdf={printed}", "--dump-dom", shown.as_uri(),
        ]  # fmt: skip
        browser = start_command(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            found, log = browser.communicate(timeout=60)
        finally:
            if browser.poll() is None:
                os.killpg(browser.pid, signal.SIGKILL)
    assert "CONSOLE" not in log
    assert "<title>taken" not in found
    wide, width = map(int, re.search(r'<html lang="(\d+) of (\d+)"', found).groups())
    assert wide <= width <= 360
    assert len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) == 2
