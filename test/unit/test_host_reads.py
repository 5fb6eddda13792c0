"""A training step asks the device for no number: the references ask for two, and two a tensor in LAMB."""

from helpers import small_training, train, training_flags
from torch import nn, ones

from callback.optimization import Lamb
from processors.glue import TASKS
from tools.bench.host_reads import HostReads
from tools.machine.device import Device

CPU = Device("cpu")


def test_the_count_counts():
    with HostReads(CPU.torch_device) as reads:
        float(ones(1))
        bool(ones(1) > 0)
        ones(3).nonzero()
    assert reads.count == 3


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
        task = TASKS["sst-2"]
        model, features = small_training(task, tokenizer)
        others = ("--max_steps", steps, "--logging_steps=1000", "--overwrite_output_dir")
        flags = training_flags(tmp_path, task, *others)
        with HostReads(CPU.torch_device) as reads:
            train(flags, model, tokenizer, features)
        counts.append(reads.count)
    assert counts[0] == counts[1]
