"""The network of a classifier, by torch.export, as ONNX: for batches of any size and length."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from model.modeling_albert import AlbertForSequenceClassification
from model.torch_releases import CAN_EXPORT
from tools.cli.errors import UsageError, first_line
from tools.exporting.names import INPUTS, OUTPUT

# A file of ONNX holds no more than this (it is a message of protobuf).
_LARGEST = 2**31
_NO_LIMIT = 2**62
# Of the inputs that torch.export traces with; any size and length will do then.
_BATCH, _LENGTH = 2, 4
# torch 2.6 wants to know that there is an end to them.
_MOST_EXAMPLES = 2**31 - 1


def check_exportable(weight_count: int) -> None:
    """See that a model of so many numbers can be written as ONNX, with this torch.

    Raises:
        UsageError: it cannot.
    """
    if not CAN_EXPORT:
        raise UsageError(
            f"--onnx needs torch 2.6 or later, and this is {torch.__version__}: leave it out, or export "
            "on a machine with a later one"
        )
    if 4 * weight_count >= _LARGEST:
        raise UsageError(
            f"--onnx: the model's weights take {4 * weight_count / 2**30:.1f} GiB, and a file of ONNX "
            "holds 2 GiB: leave it out"
        )


class _Logits(nn.Module):
    """A classifier that returns its logits alone: no other output is of use, or known to torch 2.6."""

    def __init__(self, model: AlbertForSequenceClassification) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        return self.model(input_ids, attention_mask, token_type_ids).logits


def write_onnx(model: AlbertForSequenceClassification, path: Path) -> None:
    """Write the network from token ids to logits, without dropout; ``model`` trains no more after it.

    The names and types of what it takes are :data:`tools.exporting.names.INPUTS`'.

    Raises:
        ValueError: torch's exporter fails; has its own words.
    """
    from onnx_ir import save
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass
    from onnxscript.optimizer import optimize

    model.eval()
    for weight in model.parameters():  # Then what is made of weights alone is made here, once.
        weight.requires_grad_(False)
    for module in model.modules():
        if hasattr(module, "as_products_in_fp32"):
            module.as_products_in_fp32 = True  # onnxruntime computes two products faster.
    shape = {
        0: torch.export.Dim("batch", max=_MOST_EXAMPLES),
        1: torch.export.Dim("length", max=model.config.max_position_embeddings),
    }
    size = (_BATCH, _LENGTH)
    types = (torch.int32, torch.bool, torch.int32)
    example = {
        name: torch.ones(size, dtype=dtype) for name, dtype in zip(INPUTS, types, strict=True)
    }
    example["token_type_ids"].zero_()
    try:
        with _quiet():
            program = torch.onnx.export(
                _Logits(model),
                (),
                kwargs=example,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_shapes=dict.fromkeys(INPUTS, shape),
                dynamo=True,
                verbose=False,
            )
            # Layers that share weights share their transposes as well, whatever their size.
            optimize(program.model, input_size_limit=_NO_LIMIT, output_size_limit=_NO_LIMIT)
            ClearMetadataAndDocStringPass()(program.model)  # It names this machine's folders.
            save(program.model, path)
    except torch.onnx.errors.OnnxExporterError as error:
        raise ValueError(f"torch cannot export the network: {first_line(error)}") from error


def write_int8(network: Path, path: Path) -> None:
    """Write a network with its weights in int8, channel by channel; what they multiply is quantized anew
    for each batch (dynamic quantization).

    The weights have 7 bits: with 8 the products overflow on CPUs that add them up in 16 bits (those with
    AVX2 or AVX-512 and without VNNI), and the outputs would differ from machine to machine.
    """
    from onnxruntime.quantization import quantize_dynamic

    with _quiet():
        quantize_dynamic(network, path, per_channel=True, reduce_range=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what exporters say of their own doings from the user, who can do nothing about it."""
    loggers = [
        logging.getLogger(name) for name in (None, "torch.onnx", "torch.export", "onnxscript")
    ]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
