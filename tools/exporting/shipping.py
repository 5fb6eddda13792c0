"""An export from the trained folder to the one that is shipped."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from model.checkpoint import load_model
from processors.features import Features
from tools.cli.errors import UsageError
from tools.cli.streams import say
from tools.exporting.card import write_card
from tools.exporting.card_metadata import CardFacts
from tools.exporting.check import (
    BATCH_SIZE,
    Logits,
    check_int8,
    check_same,
    outputs_of,
    score_files,
    shown,
)
from tools.exporting.dev_set import DevSet, find_dev_set
from tools.exporting.folder import writing_folder
from tools.exporting.model_files import write_model_files
from tools.exporting.names import CARD, NETWORK, NETWORK_INT8
from tools.exporting.onnx_model import check_exportable, write_int8, write_onnx
from tools.exporting.onnx_network import OnnxNetwork, wanted_threads
from tools.exporting.source import Source
from tools.exporting.speed import Compute, compare_speed, speed_table
from tools.machine.hub import local_model
from tools.run.scores import Scores
from tools.run.torch_network import TorchNetwork


@dataclass(frozen=True)
class Wanted:
    """What an export is to have beside the model's own files: see the flags of tools/export.py."""

    onnx: bool = False
    int8: bool = False
    speed: bool = False
    license: str | None = None
    language: str | None = None


def ship(model: Path, output: Path, wanted: Wanted, dev_file: Path | None) -> None:
    """Write the export of the trained folder ``model`` to ``output``, and say what it was checked on.

    Raises:
        UsageError, OSError, ValueError: it cannot be read or written, or a network is refused; then
            ``output`` is as it was.
    """
    source = Source.open(local_model(model, "--model"))
    if wanted.onnx:
        check_exportable(source.config.weight_count)
    dev = find_dev_set(source, dev_file)
    if wanted.int8 and not dev.task:
        raise UsageError(
            f"--int8 is accepted by the metric on a dev set, and there is none ({dev.why_none}): name one "
            "with --dev_file, or leave --int8 out"
        )
    network = TorchNetwork(source.folder, source.config)
    length = source.config.max_seq_length
    ours = outputs_of(dev, _computed(network, length))
    scores = score_files(dev, ours)
    for name in scores.metrics:
        say(f"{dev.described}: {shown(scores, name)}")
    if not dev.task:
        say(f"no dev set at hand ({dev.why_none}): checked on {dev.described}, and not scored")
    record: dict[str, Any] = {"metrics": dict(scores.metrics), "checked_on": dev.described}
    with writing_folder(output, record) as folder:
        write_model_files(network.model, source.tokenizer, folder)
        networks = {}
        if wanted.onnx:
            say("ONNX: torch.export traces the network, which may take a minute")
            networks = _write_networks(folder, source, wanted, dev, ours, scores)
        record["networks"] = networks
        if wanted.speed:
            say(_speeds(folder, source, network, dev))
        facts = CardFacts(dev, scores, networks, wanted.license, wanted.language)
        write_card(folder / CARD, source, facts)
    say(f"{output}: {', '.join(sorted(path.name for path in output.iterdir()))}")


def _write_networks(
    folder: Path,
    source: Source,
    wanted: Wanted,
    dev: DevSet,
    ours: list[np.ndarray],
    scores: Scores,
) -> dict[str, str]:
    """Write the networks of ONNX, check them, and return what the card says of each."""
    length = source.config.max_seq_length
    file = folder / NETWORK
    # The exporter changes the model that it gets.
    write_onnx(load_model(source.folder, source.config), file)
    outputs = outputs_of(dev, _computed(OnnxNetwork(file), length))
    difference = check_same(NETWORK, ours, outputs)
    size = f"{file.stat().st_size / 1e6:.1f} MB"
    found = {
        NETWORK: f"fp32, {size}; on {dev.described} its logits are within {difference:.2g} of torch's"
    }
    say(f"{NETWORK}: {found[NETWORK]}")
    if wanted.int8:
        small = folder / NETWORK_INT8
        write_int8(file, small)
        int8 = score_files(dev, outputs_of(dev, _computed(OnnxNetwork(small), length)))
        check_int8(dev.task, scores, int8)
        said = ", ".join(f"{name} {value:.4f}" for name, value in int8.metrics.items())
        size = f"{small.stat().st_size / 1e6:.1f} MB"
        found[NETWORK_INT8] = f"weights in int8, {size}; on {dev.described}: {said}"
        say(f"{NETWORK_INT8}: {found[NETWORK_INT8]}")
    return found


def _computed(network: TorchNetwork | OnnxNetwork, max_seq_length: int) -> Logits:
    return lambda features: network.logits(features, BATCH_SIZE, max_seq_length)


def _speeds(folder: Path, source: Source, network: TorchNetwork, dev: DevSet) -> str:
    """Return how fast torch and the networks in ``folder`` are on the first file of the dev set."""
    threads = wanted_threads(os.environ)
    network.use_threads(threads)
    length = source.config.max_seq_length

    def compute(any_network: Any, features: Features, size: int) -> np.ndarray:
        return any_network.logits(features, size, length)

    networks: dict[str, Compute] = {"torch": partial(compute, network)}
    for name in (NETWORK, NETWORK_INT8):
        if (folder / name).is_file():
            networks[name] = partial(compute, OnnxNetwork(folder / name, threads))
    features = dev.files[0].features
    speeds = compare_speed(networks, features, BATCH_SIZE)
    mean = features.lengths.mean()
    return (
        f"from token ids to logits, {threads} threads each, inputs of {mean:.1f} tokens on average, "
        f"batches of {BATCH_SIZE}:\n{speed_table(speeds)}"
    )
