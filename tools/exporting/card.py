"""The model card of an export: README.md, with the metadata that the Hugging Face hub reads.

Only what is recorded or measured stands in it. No path of this machine does: a card is published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.configuration_albert import AlbertConfig
from tools.exporting.card_metadata import CardFacts, metadata, title
from tools.exporting.source import Source
from tools.exporting.usage import usage_lines

_RECIPE = (
    *("optimizer", "learning_rate", "lr_schedule", "warmup_proportion", "weight_decay"),
    *("batch_size", "gradient_accumulation_steps", "num_train_epochs", "max_steps", "drop_last"),
    *("class_weights", "label_smoothing", "fp16", "bf16", "fp16_opt_level", "max_grad_norm"),
    *("dev_share", "split_seed", "max_train_examples", "padding", "keep", "patience", "seed"),
)


def write_card(path: Path, source: Source, facts: CardFacts) -> None:
    """Write the card to ``path``."""
    parts = [metadata(source, facts), *_body(source, facts)]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _body(source: Source, facts: CardFacts) -> Iterator[str]:
    config, run = source.config, source.run.run
    of = "pairs of texts" if config.has_pairs else "texts"
    yield f"\n# {title(source)}\n"
    yield f"An ALBERT ({config.sizes}), fine-tuned with albert-pytorch-glue."
    yield f"It takes {of} and gives {_gives(config)}."
    yield "\n## How good it is\n"
    yield from _quality(facts, run)
    yield "\n## Data\n"
    yield from _data(source, facts)
    yield "\n## How it was trained\n"
    yield from _training(source)
    yield "\n## Limits\n"
    yield from _limits(source, facts)
    yield "\n## Use\n"
    yield from usage_lines(config, bool(facts.networks), source.tokenizer.json is not None)
    if facts.networks:
        yield "\nThe networks of ONNX take batches of any size and inputs of any length up to"
        yield f"{config.max_position_embeddings} tokens:\n"
        yield from (f"- `{name}`: {what}" for name, what in facts.networks.items())
    if not facts.license:
        yield "\n**License:** not stated. It follows from those of the data and of the model that the"
        yield "training started from, which nothing here records."


def _gives(config: AlbertConfig) -> str:
    if config.num_labels == 1 and not config.is_multi_label:
        return "a number"
    names = ", ".join(_code(name) for name in config.labels[:20])
    more = f" and {config.num_labels - 20} more" if config.num_labels > 20 else ""
    what = "any number of the labels" if config.is_multi_label else "one of the classes"
    return f"{what} {names}{more}"


def _quality(facts: CardFacts, run: Mapping[str, Any]) -> Iterator[str]:
    if not facts.scores.metrics:
        yield "Not measured when it was exported: there was no dev set at hand."
        recorded = (run.get("results") or {}).get("model")
        if recorded:
            names = {k: v for k, v in recorded.items() if isinstance(v, float)}
            yield "The run itself recorded: " + ", ".join(f"{k} {v:.4g}" for k, v in names.items())
        return
    yield f"On {facts.dev.described}, scored in fp32 when it was exported, with 95 % intervals over the"
    yield "choice of the examples:\n"
    yield from ("| metric | value | from | to |", "| --- | --- | --- | --- |")
    for name, value in facts.scores.metrics.items():
        ends = facts.scores.intervals.get(name)
        low, high = (f"{end:.4f}" for end in ends) if ends else ("–", "–")
        yield f"| {_code(name)} | {value:.4f} | {low} | {high} |"
    baseline, recorded = run.get("baseline"), run.get("data") or {}
    of_same_files = all(
        recorded.get("dev" + file.suffix, {}).get("sha256") == file.sha256
        for file in facts.dev.files
    )
    if isinstance(baseline, Mapping) and of_same_files:
        said = ", ".join(f"{k} {v:.4f}" for k, v in baseline.items() if isinstance(v, float))
        always = f"Always {_code(str(baseline['class']))}" if "class" in baseline else "The mean"
        if said:
            yield f"\n{always} would reach: {said}."


def _data(source: Source, facts: CardFacts) -> Iterator[str]:
    recorded = source.run.run.get("data")
    rows = []
    for split, said in recorded.items() if isinstance(recorded, Mapping) else ():
        name = _code(Path(str(said.get("path", "?"))).name)
        cells = (said.get("rows", "–"), said.get("cut", "–"), _code(said.get("sha256") or "–"))
        rows.append((split, name, *cells))
    if not rows:
        rows = [
            ("dev" + file.suffix, _code(file.name), len(file.features), *_cut_and_digest(file))
            for file in facts.dev.files
            if file.sha256
        ]
        yield "The run left no record of its data" + (", but of:\n" if rows else ".")
    if rows:
        yield "| split | file | rows | cut | SHA-256 |\n| --- | --- | --- | --- | --- |"
        yield from (f"| {' | '.join(map(str, row))} |" for row in rows)
        yield f"\n`cut` counts inputs longer than {source.config.max_seq_length} tokens."


def _cut_and_digest(file: Any) -> tuple[int, str]:
    return int(file.features.cut.sum()), _code(file.sha256)


def _training(source: Source) -> Iterator[str]:
    flags, run = source.flags, source.run.run
    if not flags:
        yield "Nothing beside the model tells."
        return
    started = flags.get("model_name_or_path")
    if started:
        name = Path(str(started)).name
        what = "random weights of the shape of " if flags.get("random_init") else ""
        yield f"From {what}{_code(name)}, with:\n"
    half = ("fp16_opt_level",) if not (flags.get("fp16") or flags.get("bf16")) else ()
    said = ((name, flags.get(name)) for name in _RECIPE if name not in half)
    yield from ("| flag | value |", "| --- | --- |")
    yield from (
        f"| `--{name}` | {_code(value)} |"
        for name, value in said
        if value not in (None, False, 0, 0.0, -1, [], "")
    )
    facts = {
        "steps": run.get("steps"),
        "best step": run.get("best_step"),
        "model kept": run.get("kept"),
        "processes": run.get("processes"),
        "device": (run.get("device") or {}).get("name"),
        "started": run.get("started"),
        "source": run.get("git_revision"),
        "versions": ", ".join(f"{k} {v}" for k, v in (run.get("versions") or {}).items()),
    }
    known = [f"{name}: {_code(value)}" for name, value in facts.items() if value]
    if known:
        yield "\n" + "; ".join(known) + "."
    if not source.is_final:
        yield "\nThis is a checkpoint of the training, not what it ended with."


def _limits(source: Source, facts: CardFacts) -> Iterator[str]:
    config = source.config
    kept = {"head": "first", "tail": "last", "head+tail": "first and last"}[config.truncation]
    yield f"- It is for inputs of up to {config.max_seq_length} tokens; of longer ones the {kept} stay."
    if config.truncation == "head+tail":
        yield "  transformers cannot cut so: it keeps the first ones."
    if not (facts.language):
        yield "- The language of its data is not recorded: texts of another give nonsense."
    yield "- The figures hold for texts like those of the dev set. Others were not tried, nor was the"
    yield "  model looked at for bias between groups of people."
    if not facts.scores.metrics:
        yield "- How often it is right is not known here."


def _code(value: Any) -> str:
    """Return a value as code, in which nothing is Markdown, nor ends a table's cell."""
    text = " ".join(str(value).split()).replace("|", "\\|")
    ticks = "`" * (1 + max((len(run) for run in _runs_of_ticks(text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}"


def _runs_of_ticks(text: str) -> Sequence[str]:
    return [run for run in "".join(c if c == "`" else " " for c in text).split() if run]
