"""The frame of a page: one file that loads nothing, runs nothing and shows what it is given."""

from __future__ import annotations

import re

from tools.results.markup import Markup, join, tag
from tools.results.print_style import PRINT
from tools.results.style import STYLE

# By it a file is known as such a page, which may be written anew.
GENERATOR = "albert report"
# Nothing is loaded and no script runs, whatever the data hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(title: str, *parts: object) -> str:
    """Return a whole page, as the text of an HTML file.

    Args:
        title: of the browser's tab.
        parts: the content, as :func:`tools.results.markup.tag` makes it.
    """
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=GENERATOR),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Markup(_packed(STYLE + PRINT))),
    ]
    whole = tag("html", tag("head", *head), tag("body", tag("main", *parts)), lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"


def is_page(start: str) -> bool:
    """Return whether the first 2,000 characters of a file are those of such a page."""
    return start.startswith("<!DOCTYPE html>") and f'content="{GENERATOR}"' in start


def contents(sections: list[tuple[str, str]]) -> Markup | None:
    """Return links to the sections, by (id, words); None where there is one at most."""
    if len(sections) < 2:
        return None
    links = (tag("a", words, href=f"#{key}") for key, words in sections)
    return tag("nav", join(links), aria_label="Sections")


def _packed(style: str) -> str:
    return re.sub(r"\s*\n\s*", " ", style).strip()
