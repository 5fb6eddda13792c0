"""The metadata at the head of a model card, as the Hugging Face hub reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.configuration_albert import AlbertConfig
from processors.glue import TASKS
from tools.exporting.dev_set import DevSet
from tools.exporting.source import Source
from tools.run.scores import Scores

# By the names of processors.metrics.METRICS: those that the hub knows them by.
_HUB_METRICS = {
    "acc": "accuracy",
    "mcc": "matthews_correlation",
    "pearson": "pearsonr",
    "spearmanr": "spearmanr",
}


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of, beside the folder itself.

    Attributes:
        scores: of the network in fp32 on the dev set.
        networks: what is said of each file of ONNX, by its name.
        license, language: as the user names them; None: not known.
    """

    dev: DevSet
    scores: Scores
    networks: Mapping[str, str]
    license: str | None = None
    language: str | None = None


def title(source: Source) -> str:
    """Return what a card calls the model."""
    name = source.flags.get("task_name")
    return f"ALBERT for {name}" if name in TASKS else "ALBERT for text classification"


def metadata(source: Source, facts: CardFacts) -> str:
    """Return the YAML at the head of the card. JSON is YAML, too, and quotes what has to be."""
    config = source.config
    values: dict[str, Any] = {
        "license": facts.license,
        "language": facts.language,
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["albert", *(["onnx"] if facts.networks else []), _kind(config)],
    }
    if facts.scores.metrics:
        values["metrics"] = sorted({_hub_metric(facts.dev, n) for n in facts.scores.metrics})
        values["model-index"] = [{"name": title(source), "results": _results(source, facts)}]
    lines = (
        f"{key}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in values.items()
        if value is not None
    )
    return "\n".join(["---", *lines, "---"])


def _results(source: Source, facts: CardFacts) -> list[dict[str, Any]]:
    results = []
    for file in facts.dev.files:
        names = [
            name
            for name in facts.scores.metrics
            if _metric_of(facts.dev, name) == (name.removesuffix(file.suffix), file.suffix)
        ]
        results.append(
            {
                "task": {"type": "text-classification", "name": "Text Classification"},
                "dataset": {
                    "name": file.name,
                    "type": "own-data",
                    "split": "validation",
                    "args": {"sha256": file.sha256, "examples": len(file.features)},
                },
                "metrics": [_result(facts, name) for name in names],
            }
        )
    return results


def _result(facts: CardFacts, name: str) -> dict[str, Any]:
    result = {
        "type": _hub_metric(facts.dev, name),
        "name": name,
        "value": facts.scores.metrics[name],
    }
    ends = facts.scores.intervals.get(name)
    return {**result, "args": {"confidence_interval_95": list(ends)}} if ends else result


def _metric_of(dev: DevSet, name: str) -> tuple[str, str]:
    """Return a metric's name without its file's suffix, and that."""
    suffix = max((s.suffix for s in dev.files if name.endswith(s.suffix)), key=len)
    return name.removesuffix(suffix), suffix


def _hub_metric(dev: DevSet, name: str) -> str:
    plain, _ = _metric_of(dev, name)
    return _HUB_METRICS.get(plain, plain)


def _kind(config: AlbertConfig) -> str:
    if config.is_multi_label:
        return "multi-label-classification"
    return "regression" if config.num_labels == 1 else "single-label-classification"
