"""An exported network, run by onnxruntime on the CPU. Nothing here imports torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from model.file_kinds import why_missing
from model.file_names import CONFIG_NAME, VOCABULARY_NAMES
from model.files import find_file
from processors.batching import BatchPlan, plan_evaluation
from processors.features import Features
from tools.cli.errors import UsageError, first_line
from tools.cli.waiting import waiting_remark
from tools.exporting.names import INPUTS, NETWORK, NETWORK_INT8, OUTPUT
from tools.machine.cores import usable_cores
from tools.machine.hub import VOCABULARY_FILES

_WARNINGS_OFF = 3  # Of onnxruntime's log: errors are raised as well.


class OnnxNetwork:
    """The network in a file.

    Args:
        file: what :func:`tools.exporting.onnx_model.write_onnx` wrote, or its int8.
        threads: that compute; None: as many as torch would take, which ``OMP_NUM_THREADS`` says, or else
            all cores.

    Raises:
        ValueError: the file is damaged, or is no such network.
    """

    def __init__(self, file: Path, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or wanted_threads(os.environ)
        options.log_severity_level = _WARNINGS_OFF
        if waiting_remark(os.environ):  # As torch's threads then do, they leave their core at once.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                file, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # Its errors have no class in common.
            raise ValueError(
                f"{file} cannot be read as ONNX ({first_line(error)}): export the model again"
            ) from error
        inputs = {item.name for item in self._session.get_inputs()}
        if inputs != set(INPUTS):
            raise ValueError(
                f"{file} is no network of this project's: it takes {', '.join(sorted(inputs))}, not "
                f"{', '.join(INPUTS)}: export the model again"
            )

    def logits(self, features: Features, batch_size: int, max_seq_length: int) -> np.ndarray:
        """Return the outputs for every example: [N, num_labels] float32, in the order of ``features``.

        Examples of like length share a batch, as :func:`processors.batching.plan_evaluation` has it.

        Raises:
            ValueError: an output is no finite number.
        """
        plans = plan_evaluation(features.lengths, batch_size, max_seq_length)
        outputs = [self._session.run([OUTPUT], padded_arrays(features, plan))[0] for plan in plans]
        whole = np.empty((len(features), outputs[0].shape[1]), np.float32)
        whole[np.concatenate([plan.rows for plan in plans])] = np.concatenate(outputs)
        if not np.isfinite(whole).all():
            raise ValueError("the model's outputs are no finite numbers: its training diverged")
        return whole


def wanted_threads(environment: Mapping[str, str]) -> int:
    """Return how many threads compute: what OpenMP's variable says, or one for each core."""
    said = environment.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else usable_cores()


def padded_arrays(features: Features, plan: BatchPlan) -> dict[str, np.ndarray]:
    """Return a batch by the names of :data:`tools.exporting.names.INPUTS`, each [B, width].

    The numbers are those of :class:`processors.loading.BatchBuilder`, whose tensors need torch.
    """
    rows, positions = plan.rows, np.arange(plan.width)
    real = positions < features.lengths[rows][:, None]
    source = np.minimum(features.offsets[rows][:, None] + positions, len(features.input_ids) - 1)
    second = real & (positions >= features.first_lengths[rows][:, None])
    return {
        "input_ids": np.where(real, features.input_ids[source], 0).astype(np.int32),
        "attention_mask": real,
        "token_type_ids": second.astype(np.int32),
    }


def network_files(is_int8: bool) -> tuple[str, ...]:
    """Return what answering from a network takes of an export's files, as far as they are there."""
    return NETWORK_INT8 if is_int8 else NETWORK, *VOCABULARY_FILES


def check_exported(folder: Path, is_int8: bool) -> Path:
    """Return the network in ``folder``, in fp32 or int8, after a look at what goes with it.

    Raises:
        UsageError: the folder, or the network, is not there, or has no configuration or vocabulary beside
            it; says what to do.
    """
    name, *_ = network_files(is_int8)
    asked = "--onnx --int8" if is_int8 else "--onnx"
    if not folder.is_dir():
        raise UsageError(f"--model: {why_missing(folder) or f'there is no folder {folder}'}")
    if not (folder / name).is_file():
        raise UsageError(
            f"{asked}: {folder} holds no {name}: python -m tools.export --model {folder} --output "
            f"ANOTHER {asked} makes a folder that has it"
        )
    try:
        find_file(folder, (CONFIG_NAME,), "configuration")
        find_file(folder, VOCABULARY_NAMES, "vocabulary")
    except FileNotFoundError as error:
        raise UsageError(f"{asked}: {error}: take the folder as it was exported") from error
    return folder / name
