"""Copies of the tests' process compute, whatever that process has computed before."""

import torch
from forks import fork, statuses


def test_a_copy_of_a_process_with_threads_computes():
    """OpenMP's threads are not in the copy, which would wait for them in its first large operation."""
    norm, numbers = torch.nn.LayerNorm(1024), torch.randn(512, 1024)
    torch.set_num_threads(2)
    norm(numbers)
    assert statuses([fork(lambda: int(norm(numbers).isnan().any()))]) == [0]
