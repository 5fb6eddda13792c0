"""GLUE's server takes the numbers of a submission; the records beside it have what the model said."""

import json
import re

import numpy as np

from processors.custom import custom_task
from processors.glue import TASKS
from processors.submission import write_submission

LOGITS = np.array([[5.404], [-0.286], [2.5], [-0.0001], [5.0]], dtype=np.float32)
INDEX = ["4", "0", "x7", "2", "9"]


def test_numbers_beyond_the_scale_are_clipped_for_the_server_alone(tmp_path):
    path = write_submission(tmp_path, "STS-B", TASKS["sts-b"], LOGITS, INDEX)
    lines = ["4\t5.000", "0\t0.000", "x7\t2.500", "2\t0.000", "9\t5.000"]
    assert path.read_text().splitlines() == ["index\tprediction", *lines]
    text = path.with_suffix(".jsonl").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    assert [record["prediction"] for record in records] == [5.404, -0.286, 2.5, -0.0, 5.0]
    assert [record["score"] for record in records] == LOGITS[:, 0].astype(float).tolist()
    assert [record["index"] for record in records] == [4, 0, "x7", 2, 9]
    assert not re.search(r'"(prediction|score)": "', text)  # Numbers, and no text.


def test_numbers_of_ones_own_are_written_as_they_are(tmp_path):
    task = custom_task({"train": None, "dev": None, "test": "t.csv"}, ("a",), "label", True)
    path = write_submission(tmp_path, "t", task, LOGITS[:2])
    assert path.read_text() == "index\tprediction\n0\t5.404\n1\t-0.286\n"
