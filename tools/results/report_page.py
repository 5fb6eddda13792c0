"""report.html: what a person asks after a run, answered in the order of the asking."""

from __future__ import annotations

from pathlib import Path

from model.files import write_whole
from tools.cli.errors import UsageError
from tools.results.calibration import calibration
from tools.results.confusion import mistakes, weakness
from tools.results.curves import curves
from tools.results.data_facts import data_facts
from tools.results.lengths import lengths
from tools.results.markup import Markup, tag
from tools.results.next_steps import next_steps
from tools.results.outcome import Outcome
from tools.results.page import contents, is_page, page
from tools.results.picture import write_picture
from tools.results.run_folder import PAGE_FILE, RunFolder
from tools.results.scored import Scored, scored_sets
from tools.results.settings import settings
from tools.results.side_by_side import is_of_seeds, seeds_page
from tools.results.verdict import headline, verdict
from tools.results.wrong_examples import wrong_examples

# Of a file so many characters show whether it is a page.
_START = 2000
_TITLES = {
    "classes": "What it takes for what",
    "multi_label": "Label by label",
    "number": "Where it errs",
}
_WORDS = {
    "curves": "Training",
    "mistakes": "Mistakes",
    "examples": "Most wrong",
    "data": "Data",
    "next": "What next",
    "settings": "Settings",
}


def report_page(folder: RunFolder) -> str:
    """Return the page of a run, or of the trainings of --seeds, with what its folder has."""
    if is_of_seeds(folder):
        return seeds_page(folder)
    outcome = Outcome(folder)
    sections = {"curves": curves(outcome)}
    sets = scored_sets(folder)
    for scored in sets:
        more = scored is not sets[0]
        sections[f"mistakes{scored.suffix}"] = _mistakes(scored, more)
        sections[f"examples{scored.suffix}"] = _examples(scored, more)
    sections |= {
        "data": data_facts(outcome),
        "next": next_steps(outcome, sets),
        "settings": settings(outcome),
    }
    shown = {key: part for key, part in sections.items() if part}
    links = contents([(key, _WORDS[key]) for key in shown if key in _WORDS])
    title = " · ".join(filter(None, [headline(outcome).rstrip("."), outcome.task, outcome.name]))
    wrong = weakness(sets[0]) if sets else None
    # Of two dev files the figures above are those of the first.
    of_first = len(sets[0]) if len(sets) > 1 else None
    return page(title, verdict(outcome, wrong, of_first), links, *shown.values())


def check_place(path: Path) -> None:
    """See that a page may be written to ``path``: nothing is there, or an earlier page.

    Raises:
        UsageError: something else is there, or there is no folder for it.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder, and the page needs the name: see --output")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}: make it first")
    if path.exists():
        with path.open(encoding="utf-8", errors="replace") as file:
            start = file.read(_START)
        if start and not is_page(start):
            raise UsageError(f"{path} is no page of a run, and stays as it is: see --output")


def write_report_page(folder: Path) -> Path:
    """Write report.html into the output folder of a run, and curves.png where matplotlib is there.

    Args:
        folder: as :meth:`tools.results.run_folder.RunFolder.find` takes it.

    Returns:
        The path of the page.

    Raises:
        UsageError: no run wrote to ``folder``, or what is called report.html there is none.
        DiskError: the disk is full.
    """
    found = RunFolder.find(folder)
    path = folder / PAGE_FILE
    check_place(path)
    write_whole(path, report_page(found))
    write_picture(Outcome(found))
    return path


def _mistakes(scored: Scored, more: bool) -> Markup:
    kinds = [mistakes(scored), calibration(scored), lengths(scored)]
    title = _TITLES[scored.kind] + (f" (dev{scored.suffix})" if scored.suffix else "")
    return tag(
        "section",
        tag("h2", title),
        tag("div", *kinds, class_="pair"),
        id=f"mistakes{scored.suffix}",
        class_="more" if more else None,
    )


def _examples(scored: Scored, more: bool) -> Markup | None:
    found = wrong_examples(scored)
    if not found:
        return None
    title = "Most wrong" + (f" (dev{scored.suffix})" if scored.suffix else "")
    return tag(
        "section",
        tag("h2", title),
        found,
        id=f"examples{scored.suffix}",
        class_="more" if more else None,
    )
