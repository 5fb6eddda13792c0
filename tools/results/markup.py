"""HTML that is safe by how it is made: whatever is no :class:`Markup` yet is shown as text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# Browsers show these as nothing, or end the text there.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_EMPTY = frozenset(("input", "meta", "rect", "path", "circle", "col"))


class Markup(str):
    """Text that is HTML, or SVG inside of it."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Return HTML that shows ``value`` as it is: nothing in it becomes markup.

    Control characters and halves of surrogate pairs, which no page can have, are shown as U+FFFD.
    """
    if isinstance(value, Markup):
        return value
    plain = str(value).encode("utf-8", "replace").decode("utf-8")
    return Markup(html.escape(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", plain), quote=True))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element.

    Args:
        children: its content; what is no :class:`Markup` is shown as text, and None is left out.
        attributes: ``class_`` is ``class``, ``aria_label`` is ``aria-label``. One that is None or False is
            left out, and one that is True has no value.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        plain = key.rstrip("_").replace("_", "-")
        words.append(plain if value is True else f'{plain}="{text(value)}"')
    opening = f"<{' '.join(words)}>"
    if name in _EMPTY:
        return Markup(f"{opening[:-1]}/>")
    return Markup(f"{opening}{join(children)}</{name}>")


def join(children: Iterable[object], between: str = "") -> Markup:
    """Return the children one after the other; None is left out."""
    return Markup(between.join(text(child) for child in children if child is not None))


def table(
    caption: str | None,
    header: Iterable[object],
    rows: Iterable[Iterable[object]],
    kind: str = "",
) -> Markup:
    """Return a table whose rows begin with their own header, in a box that scrolls by itself.

    Args:
        caption: what it is, for those who do not see it; shown only where ``kind`` says so.
        kind: the classes of the table.
    """
    head = tag("tr", *(tag("th", cell, scope="col") for cell in header))
    body = []
    for row in rows:
        first, *others = row
        cells = (cell if cell.startswith("<td") else tag("td", cell) for cell in map(text, others))
        body.append(tag("tr", tag("th", first, scope="row"), *cells))
    whole = tag(
        "table",
        tag("caption", caption) if caption else None,
        tag("thead", head),
        tag("tbody", *body),
        class_=kind or None,
    )
    label = caption or "table"
    return tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=label)


def details(summary: object, *children: object) -> Markup:
    """Return a block that opens when it is asked to."""
    return tag("details", tag("summary", summary), *children)
