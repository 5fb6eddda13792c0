"""Tables changed at random, and what a reader must make of them by the rules of each format."""

import csv
import io
import json
import math
import re
from dataclasses import replace

from processors.custom import custom_task
from processors.data_kinds import name_binary, name_textual
from processors.glue import TASKS
from processors.reading import read_examples
from processors.text_files import OtherKindError

NO_FILES = {"train": None, "dev": None, "test": None}
# What is read of a table by its header: the task and the split.
KINDS = (
    (custom_task(NO_FILES, ("sentence",), "label", False), "test", ["sentence"]),
    (TASKS["sst-2"], "dev", ["sentence", "label"]),
    (TASKS["rte"], "test", ["index", "sentence1", "sentence2"]),
    (TASKS["sts-b"], "train", ["sentence1", "sentence2", "score"]),
)
OWN = (custom_task(NO_FILES, ("a", "b"), "label", False), "test", ["a", "x", "b"])
CELLS = (
    "a fine film",
    "so, dull",
    'he said "yes"',
    "",
    " ",
    "这部电影很好看",
    "très émouvant",
    "0",
    "1",
    "2,013",
)
TOKENS = (
    *(b'"', b'""', b'",', b',"', b",", b"\t", b"\r", b"\n", b"\r\n", b"\n\n", b"\0", b";", b"|"),
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xe9",
        b"\xc4\xe3\xba\xc3",
        b"\xed\xa0\x80",
        b"\x1f\x8b",
        b"PK\x03\x04",
    ),
    *(
        "\u2028".encode(),
        "\x0b\x1c\x85".encode(),
        "\U0001f3ac".encode(),
        b'{"a": 1}\n',
        b"<html>",
        b"\x1a",
    ),
)
ENCODINGS = ("utf-8", "utf-8", "utf-8", "gb18030", "utf-16", "utf-16-le", "cp1252", "big5")


def mutate(rng, data):
    """Return ``data`` with a few bytes or pieces changed, taken out, doubled or put in."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 5))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 1, 2, 5, 20)))
        change = rng.randrange(5)
        if change == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif change == 1:
            data = data[:at] + data[end:]
        elif change == 2:
            data = data[:end] + data[at:end] + data[end:]
        elif change == 3:
            data = data[:at] + rng.choice(TOKENS) + data[at:]
        elif rng.random() < 0.3:
            data = data[:at]
    return data


def written(rows, mark, end="\n"):
    """Return the text of a table as others write it."""
    if mark == "\t":
        return "".join("\t".join(row) + end for row in rows)
    file = io.StringIO(newline="")
    # The writer leaves a CR bare, which no reader could tell from a line's end.
    quoting = csv.QUOTE_ALL if any("\r" in "".join(row) for row in rows) else csv.QUOTE_MINIMAL
    csv.writer(file, delimiter=mark, lineterminator=end, quoting=quoting).writerows(rows)
    return file.getvalue()


def csv_by_the_rules(text, mark=","):
    """Return the rows of a CSV text character by character (RFC 4180), None where it breaks them.

    A quote inside of a cell that does not begin with one is a character. A blank line is an empty row.
    """
    if "\n" not in text:
        text = text.replace("\r", "\n")
    rows, row, cell, place = [], [], "", 0
    state = "start"  # of a cell; then "bare", "quoted" or "closed"
    while place < len(text):
        char, after = text[place], text[place + 1 : place + 2]
        ends = char == "\n" or (char == "\r" and after in ("\n", "\r", ""))
        if state == "quoted":
            if char == '"' and after == '"':
                cell, place = cell + char, place + 1
            elif char == '"':
                state = "closed"
            else:
                cell += char
        elif ends:
            # A run of CRs before the LF ends the row as one.
            run = re.compile("\r*\n?|\n").match(text, place)
            place = run.end() - 1
            if row or cell or state != "start":
                row.append(cell)
            rows.append(row)
            row, cell, state = [], "", "start"
            if "\r" in run[0] and not run[0].endswith("\n") and run.end() < len(text):
                return None
        elif char == "\r":
            return None
        elif char == mark:
            row.append(cell)
            cell, state = "", "start"
            if place + 1 == len(text):
                row.append("")
                rows.append(row)
                row = []
            elif after in ("\n", "\r"):
                state = "bare"
        elif char == '"' and state == "start":
            state = "quoted"
        elif state == "closed":
            return None
        else:
            cell, state = cell + char, "bare"
        place += 1
    if state == "quoted":
        return None
    if row or cell or state != "start":
        rows.append([*row, cell])
    return rows


def tsv_by_the_rules(text):
    """Return the rows of a tab-separated text; a blank line is an empty row."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    rows = [re.sub(r"\r?\n\Z|\r\Z", "", line) for line in lines]
    return [row.split("\t") if row else [] for row in rows]


def expected(data, mark, encoding, task, split):
    """Return the columns that a reader must find in ``data``, None where it must refuse them."""
    try:
        text = data.decode(encoding).lstrip("\ufeff")
        text.encode()
    except UnicodeError:
        return None
    if "\0" in text or name_binary(data) or name_textual(data) or not text:
        return None
    wanted = task.columns(split)
    if task.own_files:
        mark = mark_of_the_header(text, mark, wanted)
    rows = tsv_by_the_rules(text) if mark == "\t" else csv_by_the_rules(text, mark)
    if not rows or not rows[0] or (mark == "\t" and has_bare_cr(text)):
        return None
    header, *rows = rows
    if any(header.count(name) != 1 for name in wanted):
        return None
    if len(header) == 1:
        rows = [row or [""] for row in rows]
    else:  # A line of spaces alone is blank.
        rows = [row if len(row) > 1 or "".join(row).strip() else [] for row in rows]
    while rows and not rows[-1]:
        rows.pop()
    if not rows or any(len(row) != len(header) for row in rows):
        return None
    columns = [[row[header.index(name)] for row in rows] for name in wanted]
    return columns if split == "test" or are_labels(columns[-1], task) else None


def has_bare_cr(text):
    return "\r" in text.split("\n")[0].removesuffix("\r")


def mark_of_the_header(text, own, wanted):
    """Return what separates a table of one's own whose first line is read with its name's mark first."""
    line = re.match("[^\r\n]*", text)[0]
    for mark in (own, ";", "|"):
        rows = tsv_by_the_rules(line) if mark == "\t" else csv_by_the_rules(line, mark)
        if rows and set(wanted) <= set(rows[0]):
            return mark
    return own


def are_labels(cells, task):
    if not task.is_regression:
        return set(cells) <= set(task.labels)
    try:
        return all(abs(float(cell)) <= 3.4e38 for cell in cells)
    except ValueError:
        return False


def check_refusal(error, path, data):
    """See that an error is one of ours: one line, that begins with the file, and a line the file has."""
    assert type(error) in (ValueError, OtherKindError), repr(error)
    message = str(error)
    assert message.startswith(f"{path}"), message
    assert len(message.splitlines()) == 1, message
    if line := re.match(r", line (\d+): ", message.removeprefix(str(path))):
        assert 1 <= int(line[1]) <= data.count(b"\n") + data.count(b"\r") + 1, message


def check_case(disk, data, path, mark, encoding, kind):
    """Read ``data`` and return whether they were read."""
    task, split, _ = kind
    task = replace(task, encoding=encoding)
    disk[path] = data
    columns = expected(data, mark, encoding, task, split)
    try:
        found = read_examples(task, path, split)
    except Exception as error:
        check_refusal(error, path, data)
        found = None
    assert (found is None) == (columns is None), data
    if found is None:
        return False
    texts = [found.texts_a] + ([found.texts_b] if task.has_pairs else [])
    assert texts == columns[: len(texts)], data
    if split != "test":
        labels = columns[-1]
        right = map(float if task.is_regression else task.labels.index, labels)
        assert found.labels == list(right), data
    return True


VALUES = (*CELLS, None, True, 2, -0.5, 1e300, float("nan"), "\ud800", ["a"], {"a": 1})


def cell_of_json(value):
    """Return what a value of JSON is in a table, None where it is nothing that a cell can hold."""
    if isinstance(value, list | dict) or (isinstance(value, str) and "\0" in value):
        return None
    if value is None or value in (math.inf, -math.inf) or value != value:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def expected_of_json(data, encoding, wanted):
    """Return the columns that a reader must find in JSON lines, None where it must refuse them."""
    try:
        text = data.decode(encoding).lstrip("\ufeff")
        text.encode()
        lines = re.sub(r"(\s*\n)*\s*\Z", "", text).split("\n")
        pairs = [json.loads(line, object_pairs_hook=list) for line in lines]
        records = [json.loads(line) for line in lines]
        json.dumps(records, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    if "\0" in text or name_binary(data) or not all(isinstance(found, dict) for found in records):
        return None
    if any(len(dict(found)) < len(found) for found in pairs) or has_bare_cr(text):
        return None
    if any(name not in record for record in records for name in wanted):
        return None
    columns = [[cell_of_json(record[name]) for record in records] for name in wanted]
    return None if None in sum(columns, []) else columns
