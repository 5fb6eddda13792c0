"""Groups of flags: frozen dataclasses whose fields are flags of a command line, and are filled by it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import field, fields
from functools import partial
from typing import Any, TypeVar

from tools.cli.parser import Parser

Group = TypeVar("Group")
_FLAG = "flag"  # It marks, in a field's metadata, the options that argparse gets.


def flag(
    default: Any,
    help: str,
    *,
    positional: bool = False,
    aliases: Sequence[str] = (),
    **options: Any,
) -> Any:
    """Declare a field of a group that is a flag of its name, too.

    Args:
        default: without the flag. False makes it a flag without a value, which means True.
        help: what ``--help`` says of it.
        positional: whether it is given by its place instead of its name.
        aliases: other names of the flag, which ``--help`` shows beside its own.
        options: those of :meth:`argparse.ArgumentParser.add_argument`.
    """
    options |= {"help": help, "default": default}
    if default is False:
        options["action"] = "store_true"
    names = {"positional": positional, "aliases": tuple(aliases)}
    return field(default=default, metadata={_FLAG: options, **names})


def add_flags(parser: argparse._ActionsContainer, group: type, inherited: bool = True) -> None:
    """Add the flags of ``group`` to a parser, or to a titled group of one.

    Args:
        inherited: those of the classes above ``group``, too.
    """
    names = [item.name for item in fields(group)] if inherited else group.__annotations__
    for item in fields(group):
        if item.name in names and _FLAG in item.metadata:
            spellings = [item.name]
            if not item.metadata["positional"]:
                spellings = [f"--{name}" for name in (item.name, *item.metadata["aliases"])]
            parser.add_argument(*spellings, **item.metadata[_FLAG])


def fill(group: type[Group], flags: argparse.Namespace, **others: Any) -> Group:
    """Return the group with the flags' values, and those of its fields that are no flags."""
    values = {
        item.name: getattr(flags, item.name) for item in fields(group) if _FLAG in item.metadata
    }
    return group(**values, **others)


def parser_of(group: type, prog: str, description: str) -> Parser:
    """Return the parser of a command that has the flags of one group and works with that.

    A :class:`tools.cli.errors.UsageError` of the group's ``__post_init__`` is one of the command line.
    """
    parser = Parser(prog, partial(fill, group), description=description)
    add_flags(parser, group)
    return parser
