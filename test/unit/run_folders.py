"""Output folders of runs, as small as they may be, for what reads them."""

from __future__ import annotations

import json

HOSTILE = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"
STEPS = 40


def classes(count=40, texts=("a fine film", "a dull film")):
    """Return the records of ``count`` examples of two classes, one in four of them wrong."""
    found = []
    for row in range(count):
        label, is_right = ("bad", "good")[row % 2], row % 4 != 0
        prediction = label if is_right else ("good", "bad")[row % 2]
        sure = 0.6 + 0.39 * (row / count)
        other = "good" if prediction == "bad" else "bad"
        found.append(
            {
                "id": row, "text": texts[row % 2], "label": label, "prediction": prediction,
                "probabilities": dict(sorted({prediction: sure, other: 1 - sure}.items())),
                "tokens": 4 + row, "cut": row > 35,
            }
        )  # fmt: skip
    return found


def numbers(count=40):
    """Return the records of ``count`` pairs whose likeness is predicted a little too high."""
    return [
        {
            "id": row, "text_a": "a", "text_b": "b", "label": row % 5 + 0.0, "score": row % 5 + 0.01 * row,
            "prediction": row % 5 + 0.01 * row, "tokens": 4 + row, "cut": False,
        }
        for row in range(count)
    ]  # fmt: skip


def labels(count=40):
    """Return the records of ``count`` examples of two labels; one of the first ten has one too many."""
    return [
        {
            "id": row, "text": "a", "label": ["plot"] if row % 2 else [],
            "prediction": ["plot", "cast"] if row == 3 else ["plot"] if row % 2 else [],
            "probabilities": {"plot": 0.9 if row % 2 else 0.1, "cast": 0.7 if row == 3 else 0.2},
            "tokens": 4 + row, "cut": False,
        }
        for row in range(count)
    ]  # fmt: skip


def steps(count=STEPS):
    """Return the records of a training's steps."""
    return [
        {
            "event": "step", "time": 1.0, "step": step, "loss": 1 / step, "learning_rate": 1e-3,
            "grad_norm": None if step == 3 else 2.0, "epoch": step / 20, "samples_per_second": 100.0,
            "tokens_per_second": 2000.0,
        }
        for step in range(1, count + 1)
    ]  # fmt: skip


def run_of(metrics=None, intervals=None, baseline=None, **others):
    """Return a run.json of a run that scored ``metrics``."""
    metrics = metrics or {"acc": 0.75}
    return {
        "format": 1,
        "status": "finished",
        "started": "2026-01-02T03:04:05Z",
        "flags": {"task_name": "custom", "learning_rate": 1e-3},
        "task": {"name": "custom", "kind": "classes", "metrics": list(metrics)},
        "results": {"model": {**metrics, "examples": 40, "intervals": intervals or {}}},
        "baseline": baseline or {},
        "steps": STEPS,
        "best_step": 20,
        "kept": "best",
        **others,
    }


def write_run(folder, run=None, records=(), predictions=(), suffix=""):
    """Write an output folder of what is given, and return it."""
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{json.dumps(record)}\n" for record in records)
    (folder / "metrics.jsonl").write_text(lines)
    if run is not None:
        (folder / "run.json").write_text(json.dumps(run))
    lines = "".join(f"{json.dumps(record)}\n" for record in predictions)
    (folder / "predictions" / f"dev{suffix}.jsonl").write_text(lines)
    return folder
