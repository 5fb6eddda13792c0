"""Several runs side by side: their scores on one axis, their curves, and what differs between them."""

from __future__ import annotations

from collections.abc import Sequence

from tools.cli.naming import as_typed
from tools.results.chart import COLOURS, Series, figure, sample
from tools.results.curves import points, smooth_series, speeds
from tools.results.markup import Markup, details, join, table, tag
from tools.results.metric_names import is_better_when_lower, spoken
from tools.results.numbers import duration, number, plural, score
from tools.results.outcome import Outcome
from tools.results.page import page
from tools.results.run_folder import RunFolder, has_run
from tools.results.settings import shown
from tools.results.verdict import strip, strip_ends

_UNKNOWN = "–"
# Where there are more runs, the table alone says which line is which.
_LEGENDS = 3
_OF_SEEDS = (
    "Mean and standard deviation of trainings that differ by their seed alone. How far a score depends on "
    "the examples of dev the interval of each training tells; more trainings do not make that smaller."
)
# These differ between any two runs, and say nothing of why one is better.
_OF_THE_PLACE = ("output_dir", "log_dir", "overwrite_output_dir", "resume", "local_rank")


def side_by_side(folders: Sequence[RunFolder]) -> str:
    """Return the page of two or more runs, as the text of an HTML file."""
    outcomes = [Outcome(folder) for folder in folders]
    names = _names(outcomes)
    above = join((tag("bdi", name) for name in names), " · ")
    remarks = [tag("p", remark, class_="state") for remark in _remarks(outcomes)]
    return _page(above, _headline(outcomes, names), remarks, outcomes, names)


def is_of_seeds(folder: RunFolder) -> bool:
    """Return whether a folder has the trainings of --seeds below it."""
    return isinstance(folder.run.get("seeds"), dict)


def seeds_page(folder: RunFolder) -> str:
    """Return the page of trainings that differ by their seed alone, as the text of an HTML file."""
    seeds = Outcome(folder).part("seeds")
    below = [folder.path / name for name in seeds.get("folders", {}).values()]
    outcomes = [Outcome(RunFolder(path)) for path in below if has_run(path)]
    names = [one.folder.path.name for one in outcomes]
    metrics = seeds.get("metrics", {})
    first = _metric(outcomes)
    heading, told = f"{plural(len(outcomes), 'training')}.", []
    for name in dict.fromkeys([*([first] if first in metrics else []), *metrics]):
        found = metrics[name]
        words = f"{spoken(name)} {score(found.get('mean'))}"
        if found.get("deviation") is not None:
            words += f" ± {score(found['deviation'])}"
        if name == first:
            heading = f"{words[0].upper()}{words[1:]} over {plural(len(outcomes), 'seed')}."
        if found.get("interval"):
            low, high = map(score, found["interval"])
            words += f"; 95 % interval of the mean {low} to {high} (Student’s t)"
        told.append(tag("li", words))
    told = tag("ul", *told, class_="lines")
    note = tag("p", _OF_SEEDS, class_="says")
    return _page(tag("bdi", Outcome(folder).name), heading, [told, note], outcomes, names)


def _page(
    above: Markup,
    headline: str,
    remarks: Sequence[Markup],
    outcomes: Sequence[Outcome],
    names: Sequence[str],
) -> str:
    parts = [
        tag(
            "header",
            tag("p", above, class_="over"),
            tag("h1", headline),
            *remarks,
            _scores(outcomes, names),
            tag("p", *_note(outcomes), class_="note"),
            class_="verdict",
        ),
        _curves(outcomes, names),
        _differences(outcomes, names),
    ]
    return page(f"{headline} {plural(len(outcomes), 'run')} side by side", *parts)


def _names(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the shortest ends of the runs' paths that tell them apart."""
    paths = [one.folder.path.resolve() for one in outcomes]
    for length in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(one.folder.path) for one in outcomes]


def _metric(outcomes: Sequence[Outcome]) -> str | None:
    """Return the metric that the runs are compared by; None where they have none in common."""
    every = [one for one in outcomes if one.metrics]
    common = [
        n for n in (every[0].metrics if every else ()) if all(n in one.metrics for one in every)
    ]
    return common[0] if common else None


def _headline(outcomes: Sequence[Outcome], names: Sequence[str]) -> str:
    metric = _metric(outcomes)
    if metric is None:
        return f"{plural(len(outcomes), 'run')} side by side."
    if _remarks(outcomes):
        return "Their scores cannot be compared."
    scored = [(one.metrics[metric], index) for index, one in enumerate(outcomes) if one.metrics]
    if len(scored) < 2:
        return "Only one of them is scored."
    pick = min if is_better_when_lower(metric) else max
    best_value, best = pick(scored)
    ends = outcomes[best].interval(metric)
    others = [index for _, index in scored if index != best]
    apart = [
        index
        for index in others
        if ends
        and (other := outcomes[index].interval(metric))
        and (other[1] < ends[0] or other[0] > ends[1])
    ]
    if len(apart) == len(others):
        return f"“{names[best]}” is best, beyond the intervals."
    if all(value == best_value for value, _ in scored):
        return "They score the same."
    return f"“{names[best]}” scores best, but not beyond the intervals."


def _remarks(outcomes: Sequence[Outcome]) -> list[str]:
    """Return why scores may not be compared."""
    found = []
    tasks = {one.task for one in outcomes if one.task}
    if len(tasks) > 1:
        found.append(f"These are runs of different tasks: {', '.join(sorted(tasks))}.")
    digests = [
        {
            split: data.get("sha256")
            for split, data in one.part("data").items()
            if split.startswith("dev") and isinstance(data, dict)
        }
        for one in outcomes
    ]
    known = [digest for digest in digests if digest]
    counts = {one.result.get("examples") for one in outcomes if one.result.get("examples")}
    if any(digest != known[0] for digest in known) or len(counts) > 1:
        found.append("They were scored on different dev sets.")
    return found


def _note(outcomes: Sequence[Outcome]) -> tuple[object, ...]:
    metric = _metric(outcomes)
    if metric is None:
        return ("They have no metric in common.",)
    return (
        "Bars: 95 % intervals; strokes: baselines. Where intervals overlap the difference may still be a "
        "true one; what both say of each example tells: ",
        tag("code", as_typed("python -m tools.compare A B")),
    )


def _scores(outcomes: Sequence[Outcome], names: Sequence[str]) -> Markup:
    metric = _metric(outcomes)
    drawn = [one for one in outcomes if metric and one.metric == metric]
    ends = strip_ends(drawn) if drawn else (0.0, 1.0)
    rows = []
    for index, (one, name) in enumerate(zip(outcomes, names, strict=True)):
        key = sample(Series(name, *points([], "loss"), index, "marked"))
        link = tag("span", tag("span", key, class_="key"), tag("bdi", name), class_="nowrap")
        interval = one.interval(metric) if metric else None
        rows.append(
            [
                link,
                tag("td", tag("b", score(one.metrics.get(metric)))),
                f"{score(interval[0])} to {score(interval[1])}" if interval else _UNKNOWN,
                strip(one, *ends) if one in drawn else _UNKNOWN,
                number(one.result.get("loss")),
                number(one.value("best_step") if one.value("kept") == "best" else one.steps),
                number(one.value("samples_per_second")),
                duration(one.seconds),
            ]
        )
    axis = f"{ends[0]:g} … {ends[1]:g}"
    header = ["run", spoken(metric) if metric else "score", "95 %", axis, "dev loss", "kept step"]
    header += ["samples/s", "took"]
    return table("Runs", header, rows, "numbers runs")


def _curves(outcomes: Sequence[Outcome], names: Sequence[str]) -> Markup | None:
    metric = _metric(outcomes)
    runs = list(enumerate(zip(outcomes, names, strict=True)))[:COLOURS]
    steps = [one.folder.of("step") for one in outcomes]
    train = [
        one
        for index, (_, name) in runs
        if len((found := points(steps[index], "loss"))[0])
        for one in smooth_series(name, found, index, with_raw=False)
    ]
    dev = [
        Series(name, *points(one.evaluations, "loss"), index, "marked")
        for index, (one, name) in runs
    ]
    scores = [
        Series(name, *points(one.evaluations, metric or ""), index, "marked")
        for index, (one, name) in runs
    ]
    rates = [
        Series(name, *points(steps[index], "learning_rate"), index) for index, (_, name) in runs
    ]
    speed = [
        Series(name, *speeds(steps[index], "samples_per_second"), index)
        for index, (_, name) in runs
    ]
    drawn_as = {
        "loss": ("Training loss, smoothed", train),
        "dev": ("Dev loss", dev),
        "metric": (f"Dev {spoken(metric or '')}", scores),
        "rate": ("Learning rate", rates),
        "speed": ("Samples per second", speed),
    }
    has_legends = len(runs) <= _LEGENDS
    figures = [
        figure(
            key,
            title,
            series,
            f"{title} of each run, by step.",
            from_zero=key == "speed",
            with_legend=has_legends,
        )
        for key, (title, series) in drawn_as.items()
    ]
    drawn = [one for one in figures if one]
    if not drawn:
        return None
    remarks = [] if has_legends else ["Lines and marks are those of the table above."]
    if len(outcomes) > COLOURS:
        remarks.append(f"These are the first {COLOURS} runs.")
    more = tag("p", " ".join(remarks), class_="note") if remarks else None
    return tag("section", tag("h2", "Curves"), tag("div", *drawn, class_="grid"), more, id="curves")


def _differences(outcomes: Sequence[Outcome], names: Sequence[str]) -> Markup | None:
    flags = [
        {**one.flags, **{f"version of {n}": v for n, v in one.part("versions").items()}}
        for one in outcomes
    ]
    for one, told in zip(outcomes, flags, strict=True):
        for key in ("git_revision", "processes"):
            if one.value(key) is not None:
                told[key.replace("_", " ")] = one.value(key)
        for split, data in one.part("data").items():
            if isinstance(data, dict) and data.get("sha256"):
                told[f"SHA-256 of {split}"] = str(data["sha256"])[:12]
    every = list(dict.fromkeys(key for told in flags for key in told))
    known = [index for index, told in enumerate(flags) if told]
    rows = [[key, *(shown(told.get(key)) for told in flags)] for key in sorted(every)]
    if not rows:
        return None
    # A run that recorded nothing differs in all of them, which says nothing.
    known = [index for index, told in enumerate(flags, start=1) if told]
    is_same = {row[0]: len({row[index] for index in known}) == 1 for row in rows}
    differing = [row for row in rows if not is_same[row[0]] and row[0] not in _OF_THE_PLACE]
    body = (
        table("What differs", ["flag", *names], differing, "differ")
        if differing
        else tag("p", "Their flags, versions and data are the same, as far as they recorded them.")
    )
    same = [[row[0], row[known[0]]] for row in rows if is_same[row[0]]]
    rest = details(
        f"The same in all ({len(same)})", table("The same", ["flag", "value"], same, "pairs")
    )
    return tag("section", tag("h2", "What differs"), body, rest if same else None, id="settings")
