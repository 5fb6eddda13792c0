"""What the documentation says of tests is so: each test that it names is there."""

import re
from functools import cache

import pytest
from helpers import ROOT

PAGES = ("README.md", "README_zh.md", *(f"docs/{page.name}" for page in (ROOT / "docs").iterdir()))
# A file, with or without a test in it, or "…" for the file that was named last.
NAMED = re.compile(r"`(?:test/unit/)?(\w+\.py|…)(?:::(\w+))?(?:\[[^`]*\])?`")


@cache
def names_in(file):
    return set(re.findall(r"^\s*def (test_\w+)", (ROOT / "test" / "unit" / file).read_text(), re.M))


def named_in(text):
    """Yield the file and the test (empty: all of the file) of each place that names one."""
    last = None
    for file, test in NAMED.findall(text):
        last = last if file == "…" else file
        if last and (test or last.startswith("test_") or last.endswith(("_checks.py", "_runs.py"))):
            yield last, test


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_is_there(page):
    found = list(named_in((ROOT / page).read_text(encoding="utf-8")))
    missing = [
        f"{file}::{test}"
        for file, test in found
        if not (ROOT / "test" / "unit" / file).is_file() or (test and test not in names_in(file))
    ]
    assert missing == []


def test_tests_are_found_in_the_pages_at_all():
    assert ("test_stop.py", "") in named_in((ROOT / "docs" / "reliability.md").read_text())
    assert list(named_in("`test_a.py::test_b`, `…::test_c`")) == [
        ("test_a.py", "test_b"),
        ("test_a.py", "test_c"),
    ]
