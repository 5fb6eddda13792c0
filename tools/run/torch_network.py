"""A trained folder's network in torch, as the commands ask it that train nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from model.checkpoint import load_model
from model.configuration_albert import AlbertConfig
from processors.features import Features
from tools.machine.device import select_device
from tools.precision.scoring import ScoringPrecision
from tools.run.inference import Inference, prepare_to_score
from tools.run.scoring import compute_logits


class TorchNetwork:
    """The network in a folder, on a device.

    Args:
        device, device_id: as :func:`tools.machine.device.select_device` has them.
        bf16_flag: the flag that asks for bf16; None for fp32.

    Attributes:
        model: on the device.

    Raises:
        UsageError: the device is not there, or cannot compute in bf16.
        FileNotFoundError, ValueError: as :func:`model.checkpoint.load_model`.
    """

    def __init__(
        self,
        folder: Path,
        config: AlbertConfig,
        device: str = "cpu",
        device_id: int = 0,
        bf16_flag: str | None = None,
    ) -> None:
        self._device = select_device(device, device_id)
        self._precision = ScoringPrecision(self._device, bf16_flag)
        self._device.activate()
        self._device.keep_memory()
        self.model = self._device.place(load_model(folder, config))
        self._inference = Inference(self._device)
        # Fused kernels take seconds to compile, which few sentences are worth.
        prepare_to_score(
            *(self.model, self._device, self._precision.dtype, self._inference),
            cuda_graphs="auto",
            fused_kernels="off",
            alone=True,
        )

    def logits(
        self, features: Features, batch_size: int, max_seq_length: int, is_given: bool = True
    ) -> np.ndarray:
        """Return the outputs for every example: [N, num_labels] float32, in the order of ``features``.

        Args:
            batch_size: examples computed together.
            is_given: whether the user named it; else a GPU takes as many as keep it busy.
        """
        return compute_logits(
            self.model,
            features,
            self._device,
            batch_size,
            max_seq_length,
            precision=self._precision,
            tokens=0 if is_given else self._device.evaluation_tokens,
            inference=self._inference,
        )

    def use_threads(self, count: int) -> None:
        """Have so many threads of the CPU compute, in this whole process."""
        torch.set_num_threads(count)
