"""A training step asks the device for no number: the references ask for two, and two a tensor in LAMB."""

from test_trajectory import arguments, make
from torch import nn, ones

import run_classifier
from callback.history import History
from callback.optimization import Lamb
from processors.glue import TASKS
from tools.bench.host_reads import HostReads
from tools.device import Device
from tools.distributed import Processes
from tools.runtime import Runtime

CPU = Device("cpu")


def test_the_count_counts():
    with HostReads(CPU.torch_device) as reads:
        float(ones(1))
        bool(ones(1) > 0)
    assert reads.count == 2


def test_lamb_reads_nothing():
    weights = [nn.Parameter(ones(size)) for size in (3, 4)]
    optimizer = Lamb(weights, weight_decay=0.01)
    with HostReads(CPU.torch_device) as reads:
        for _ in range(3):
            for weight in weights:
                weight.grad = ones(weight.shape)
            optimizer.step()
    assert reads.count == 0


def test_steps_between_two_log_lines_read_nothing(tmp_path, tokenizer):
    counts = []
    for steps in (4, 12):  # within one epoch
        model, features = make(TASKS["sst-2"], tokenizer)
        args = arguments(tmp_path, TASKS["sst-2"], 1)
        args.max_steps, args.logging_steps, args.overwrite_output_dir = steps, 1000, True
        runtime = Runtime(CPU, Processes())
        with HostReads(CPU.torch_device) as reads:
            run_classifier.train(
                args, runtime, model, tokenizer, {"train": [features]}, History(None), None
            )
        counts.append(reads.count)
    assert counts[0] == counts[1]
