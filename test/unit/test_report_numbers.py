"""What a run's page says is true: its counts, its calibration, its curves, its choice of examples."""

import re

import numpy as np
import pytest
from run_folders import classes, labels, numbers, run_of, write_run

from tools.results.calibration import calibrate, calibration_of
from tools.results.chart import Series, figure
from tools.results.confusion import counts, rates, weakness
from tools.results.curves import points, speeds
from tools.results.lengths import bins_of
from tools.results.markup import tag
from tools.results.numbers import duration, number, size
from tools.results.outcome import Outcome
from tools.results.print_style import PRINT
from tools.results.run_folder import RunFolder
from tools.results.scales import fitting, smoothed, thinned
from tools.results.scored import scored_sets
from tools.results.style import STYLE
from tools.results.verdict import headline
from tools.results.wrong_examples import most_wrong


@pytest.fixture
def scored(tmp_path):
    """Return a function that reads records of dev as a page does."""

    def read(records):
        (found,) = scored_sets(RunFolder(write_run(tmp_path / "run", predictions=records)))
        return found

    return read


def test_what_is_no_markup_is_text():
    made = tag("p", "<b>", tag("i", 'a & "b"'), None, title='"><script>', hidden=True, lang=None)
    assert made == (
        '<p title="&quot;&gt;&lt;script&gt;" hidden>&lt;b&gt;<i>a &amp; &quot;b&quot;</i></p>'
    )
    assert (
        tag("p", "a\x00\x1b\ud800b\n")
        == "<p>a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}?b\n</p>"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1008, "1,008"), (0.98765, "0.988"), (28e-5, "2.8e-4"), (12.345, "12.3"), (-3.0, "−3.00"),
        (513.27, "513"),
        (3e9, "3e9"), (0.0, "0"), (-0.0, "0"), (float("nan"), "–"), (None, "–"), ("x", "–"),
    ],
)  # fmt: skip
def test_numbers_have_the_digits_that_count(value, text):
    assert number(value) == text


def test_times_and_sizes_have_their_units():
    assert [duration(s) for s in (3.21, 61, 7325)] == ["3.2 s", "1 min 01 s", "2 h 02 min"]
    assert [size(n) for n in (512, 2**30)] == ["512 bytes", "1.00 GiB"]


def test_a_peak_among_100_000_steps_is_drawn():
    x = np.arange(100_000.0)
    y = np.zeros(100_000)
    y[[77_777, 33_333]] = 9.0, -9.0
    few_x, few_y = thinned(x, y, 300)
    assert len(few_x) <= 602
    assert {77_777, 33_333, 0, 99_999} <= set(few_x.tolist())
    assert (few_y.max(), few_y.min()) == (9, -9)
    assert (np.diff(few_x) > 0).all()


def test_an_average_starts_at_the_first_value_and_forgets_it():
    assert smoothed(np.array([4.0, 4.0, 4.0]), 10) == pytest.approx([4, 4, 4])
    found = smoothed(np.array([0.0] + [1.0] * 99), 5)
    assert found[0] == 0
    assert found[-1] == pytest.approx(1, abs=1e-6)


def test_axes_have_round_numbers_inside():
    straight = fitting(np.array([0.0, 1008.0]), 0, 100)
    assert straight.ticks(5) == [0, 200, 400, 600, 800, 1000]
    assert straight.low == 0  # What is never below 0 has no axis that is.
    log = fitting(np.array([1e-4, 1.0]), 100, 0, is_log=True)
    assert log.ticks(4) == [1e-4, 1e-3, 1e-2, 1e-1, 1]
    assert log(0.01) == pytest.approx(50)


def test_points_are_those_with_a_number_by_their_last_record():
    rows = [
        {"step": 2, "loss": 5.0}, {"step": 1, "loss": 3.0}, {"step": 2, "loss": 4.0},
        {"step": 3, "loss": None},
        {"step": 4, "loss": "x"}, {"step": 5, "loss": float("inf")}, {"loss": 1.0},
    ]  # fmt: skip
    x, y = points(rows, "loss")
    assert (x.tolist(), y.tolist()) == ([1, 2], [3, 4])
    rows = [{"step": step, "speed": 10.0 + (step > 3)} for step in range(1, 6)]
    x, y = speeds(rows, "speed")
    assert (x.tolist(), y.tolist()) == ([3, 5], [10, 11])


def test_an_axis_is_logarithmic_where_nearly_all_is_above_0():
    x, y = np.arange(20.0), np.arange(20.0)
    assert "to-log" in figure("a", "Rate", [Series("a", x, y)], "")  # The first one is 0.
    assert "to-log" not in figure("a", "Rate", [Series("a", x, y - 2)], "")
    several = [Series("a", x, y + 1), Series("b", x[:1], y[:1])]
    assert "to-log" in figure("a", "Rate", several, "")
    assert figure("a", "Rate", [Series("a", x[:0], y[:0])], "") is None


def test_the_calibration_error_is_that_of_the_source():
    # Ten answers at 0.95, of which 8 are right, and ten at 0.55, of which 5 are.
    said = np.array([0.95] * 10 + [0.55] * 10)
    right = np.array([1] * 8 + [0] * 2 + [1] * 5 + [0] * 5)
    found = calibrate(said, right)
    assert found.error == pytest.approx(0.5 * 0.15 + 0.5 * 0.05)
    assert found.surplus == pytest.approx(0.1)
    assert found.count.tolist() == [10, 10]
    assert calibrate(np.array([0.0, 1.0]), np.array([0, 1])).error == 0


def test_classes_are_counted_and_the_worst_come_first(scored):
    one = scored(classes())
    assert one.classes == ["bad", "good"]
    matrix = counts(one)  # Each fourth is wrong, and they are all of the first class.
    assert matrix.tolist() == [[10, 10], [0, 20]]
    precision, recall, f1 = rates(matrix.diagonal(), matrix.sum(1), matrix.sum(0))
    assert precision.tolist() == [1, pytest.approx(2 / 3)]
    assert recall.tolist() == [0.5, 1]
    assert f1.tolist() == [pytest.approx(2 / 3), pytest.approx(0.8)]
    assert most_wrong(one, 3) == [36, 32, 28]
    assert calibration_of(one).count.sum() == 40


def test_labels_and_numbers_have_their_own_worst(scored):
    one = scored(labels())
    assert one.gold.shape == (40, 2)
    assert most_wrong(one) == [3]
    assert calibration_of(one).count.sum() == 80
    one = scored([*numbers(), {"label": 1.0}, {"label": None, "prediction": 2.0}])
    assert most_wrong(one, 2) == [39, 38]
    assert calibration_of(one) is None


def test_what_is_wrong_is_a_sentence(scored):
    records = classes()
    for record in records:
        record["prediction"] = "good"
    assert weakness(scored(records)) == (
        "20 of the 40 answers are wrong; most often “bad” is taken for “good” (20 of 20 times); it never "
        "answers “bad”."
    )
    records = labels()
    for record in records:
        record["prediction"] = ["cast"] if record["id"] == 3 else record["label"] and ["plot"]
    assert weakness(scored(records)) == "1 of the 40 answers is wrong."
    records[3]["prediction"] = ["plot"]
    assert weakness(scored(records)) is None
    assert weakness(scored(numbers())) is None


def test_lengths_are_in_bins_of_about_as_many():
    bins = bins_of(np.array([5] * 10 + list(range(6, 36))), 4)
    assert [len(one) for one in bins] == [10, 10, 10, 10]
    assert len(bins_of(np.full(9, 7))) == 1


@pytest.mark.parametrize(
    ("metric", "value", "interval", "baseline", "words"),
    [
        ("acc", 0.75, [0.7, 0.8], 0.5, "Better than the baseline."),
        ("acc", 0.75, [0.7, 0.8], 0.72, "Not shown to be better than the baseline."),
        ("acc", 0.75, [0.7, 0.8], 0.9, "Worse than the baseline."),
        ("rmse", 0.75, [0.7, 0.8], 0.9, "Better than the baseline."),
        ("acc", 0.75, [0.7, 0.8], None, "Scored, without a baseline."),
        ("acc", 0.75, None, 0.5, "Above the baseline, how surely is not known."),
    ],
)
def test_the_verdict_knows_chance_from_merit(tmp_path, metric, value, interval, baseline, words):
    intervals = {metric: interval} if interval else {}
    run = run_of({metric: value}, intervals, {metric: baseline, "class": "good"})
    assert headline(Outcome(RunFolder(write_run(tmp_path, run)))) == words


def luminance(colour):
    """Return the relative luminance of a colour (WCAG 2.1), given as #rgb, #rrggbb or (r, g, b) of 255."""
    if isinstance(colour, str):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        colour = [int(digits[place : place + 2], 16) for place in (0, 2, 4)]
    parts = [part / 255 for part in colour]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


def contrast(*colours):
    low, high = sorted(map(luminance, colours))
    return (high + 0.05) / (low + 0.05)


def test_texts_and_lines_can_be_read_by_light_and_by_dark_and_on_paper():
    for style in (*STYLE.split("@media (prefers-color-scheme:dark)")[:2], PRINT):
        block = style[style.index(":root{") : style.index("}", style.index(":root{"))]
        named = dict(re.findall(r"--([\w-]+):\s*([^;}\s][^;}]*)", block))
        for text in ("ink", "soft", "s0", "good", "bad"):
            assert contrast(named[text], named["page"]) >= 4.5, text
            assert contrast(named[text], named["card"]) >= 4.5, text
        for line in range(6):
            assert contrast(named[f"s{line}"], named["card"]) >= 3, line
        digits = named["page"][1:] if len(named["page"]) == 7 else 2 * named["page"][1:]
        page = [int(digits[place : place + 2], 16) for place in (0, 2, 4)]
        share, heat = float(named["heat-most"]), map(int, named["heat"].split())
        fullest = [share * a + (1 - share) * b for a, b in zip(heat, page, strict=True)]
        assert contrast(named["ink"], fullest) >= 4.5
