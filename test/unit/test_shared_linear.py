"""One gradient for all uses of a weight, equal to the sum that autograd makes."""

import weakref

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from model.shared_linear import SharedLinear
from model.sums import LinearSums


def uses(apply, count=3):
    """Return the loss of ``count`` uses one after the other."""
    torch.manual_seed(1)
    hidden = torch.randn(2, 5, 4)
    for _ in range(count):
        hidden = hidden + torch.tanh(apply(hidden))
    return hidden.square().sum()


def parameters():
    torch.manual_seed(0)
    return torch.randn(4, 4, requires_grad=True), torch.randn(4, requires_grad=True)


def expected():
    weight, bias = parameters()
    return torch.autograd.grad(uses(lambda x: F.linear(x, weight, bias)), (weight, bias))


class Additions(TorchDispatchMode):
    """Counts the sums of two tensors of the weight's shape, and the casts of one."""

    count = casts = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.name().startswith("aten::add.") or operation.name().startswith("aten::add_."):
            self.count += all(isinstance(a, torch.Tensor) and a.shape == (4, 4) for a in args[:2])
        if operation.name().startswith("aten::_to_copy"):
            self.casts += args[0].shape == (4, 4) and args[0].dtype == torch.float32
        return operation(*args, **(kwargs or {}))


def test_the_gradients_are_those_of_separate_uses():
    weight, bias = parameters()
    shared = SharedLinear(weight, bias)
    with Additions() as additions:
        uses(shared).backward()
    torch.testing.assert_close((weight.grad, bias.grad), expected())
    assert additions.count == 0

    weight, bias = parameters()
    with Additions() as additions:
        uses(lambda x: F.linear(x, weight, bias)).backward()
    assert additions.count == 2  # so the count can tell


def test_in_bf16_weights_are_cast_once_and_products_add_up_too():
    counts = []
    for apply_to in (SharedLinear, lambda w, b: lambda x: F.linear(x, w, b)):
        weight, bias = parameters()
        with Additions() as additions:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = uses(apply_to(weight, bias))
            loss.backward()
        counts.append((additions.count, additions.casts))
        for found, exact in zip((weight.grad, bias.grad), expected(), strict=True):
            assert (found - exact).norm() < 0.1 * exact.norm()
    assert counts == [(0, 1), (2, 1)]


def test_in_bf16_a_sum_over_many_uses_is_as_good_as_autograds():
    """Compared with the same gradients of outputs in fp64, so that only the sum makes a difference."""
    torch.manual_seed(0)
    weight, bias = torch.randn(16, 24, requires_grad=True), torch.zeros(16, requires_grad=True)
    batches = [torch.randn(40, 24).bfloat16() for _ in range(12)]
    slopes = [torch.randn(40, 16).bfloat16() for _ in batches]
    exact = (
        sum(
            slope.double().t() @ batch.double()
            for slope, batch in zip(slopes, batches, strict=True)
        ),
        sum(slope.double().sum(0) for slope in slopes),
    )

    def errors(apply_to):
        loss, passed_on = 0, torch.zeros((), requires_grad=True).bfloat16()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            apply = apply_to(weight, bias)
            for batch, slope in zip(batches, slopes, strict=True):
                output = apply(batch + passed_on)  # Each use depends on the one before.
                passed_on = output[0, 0] * 0
                loss = loss + (output.float() * slope.float()).sum()
        found = torch.autograd.grad(loss, (weight, bias))
        return [((f - e).norm() / e.norm()).item() for f, e in zip(found, exact, strict=True)]

    shared = errors(SharedLinear)
    separate = errors(lambda w, b: lambda x: F.linear(x, w, b))
    assert shared[0] <= separate[0]
    assert shared[1] <= separate[1]
    assert max(shared) < 2**-7  # bf16 rounds to within 2⁻⁸.


def test_a_sum_is_kept_no_longer_than_the_backward_pass():
    """Else autograd would copy it, and it would take memory until the next step's takes its place."""
    sums = LinearSums()
    for use in (2, 1):
        sums.add(use, torch.ones(3, 4), torch.ones(3, 5))
    weight, bias = map(weakref.ref, sums.gradients())
    assert (weight(), bias()) == (None, None)


def test_a_second_backward_pass_adds_once_more():
    weight, bias = parameters()
    loss = uses(SharedLinear(weight, bias))
    loss.backward(retain_graph=True)
    loss.backward()
    twice = [2 * gradient for gradient in expected()]
    torch.testing.assert_close([weight.grad, bias.grad], twice)


def test_a_backward_pass_that_asks_for_no_weight_leaves_nothing_behind():
    weight, bias = parameters()
    scale = torch.ones((), requires_grad=True)
    shared = SharedLinear(weight, bias)
    loss = uses(lambda x: shared(x * scale))
    torch.autograd.grad(loss, scale, retain_graph=True)
    loss.backward()
    torch.testing.assert_close((weight.grad, bias.grad), expected())


def test_a_backward_pass_that_fails_leaves_nothing_behind():
    weight, bias = parameters()
    shared = SharedLinear(weight, bias)
    fails = [True]

    def fail(_):
        if fails.pop():
            raise ValueError("out of luck")

    outputs = []

    def apply(inputs):
        outputs.append(shared(inputs))
        return outputs[-1]

    loss = uses(apply)
    outputs[0].register_hook(fail)  # reached after two of the three uses
    with pytest.raises(ValueError, match="out of luck"):
        loss.backward(retain_graph=True)
    fails.append(False)
    loss.backward()
    torch.testing.assert_close((weight.grad, bias.grad), expected())


def test_a_second_derivative_is_refused():
    weight, bias = parameters()
    inputs = torch.ones(1, 4, requires_grad=True)
    shared = SharedLinear(weight, bias)
    loss = shared(torch.tanh(shared(inputs))).sum()
    (gradient,) = torch.autograd.grad(loss, inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()


def test_uses_beside_it_count_too():
    """The last layer uses the weights of query, key and value by themselves."""
    weight, bias = parameters()
    shared = SharedLinear(weight, bias)
    (uses(shared) + uses(lambda x: F.linear(x, weight, bias))).backward()
    torch.testing.assert_close([weight.grad, bias.grad], [2 * g for g in expected()])


def test_nothing_is_summed_where_nothing_is_recorded():
    weight, bias = parameters()
    with torch.no_grad():
        assert not SharedLinear(weight, bias)(torch.ones(1, 4)).requires_grad


def test_weights_in_bf16_have_products_that_add_up_too():
    weight, bias = (parameter.detach().bfloat16() for parameter in parameters())
    weight.requires_grad_(), bias.requires_grad_()
    shared = SharedLinear(weight, bias)
    with Additions() as additions:
        uses(lambda x: shared(x.bfloat16()).float()).backward()
    assert additions.count == 0
    for found, exact in zip((weight.grad, bias.grad), expected(), strict=True):
        assert found.dtype == torch.bfloat16
        assert (found.float() - exact).norm() < 0.1 * exact.norm()


@pytest.mark.parametrize(
    "way",
    [
        "autocast",
        "patched",
        pytest.param("fp16", marks=pytest.mark.newer_torch("multiplies no fp16 on a CPU")),
    ],
)
def test_other_precisions_take_the_way_of_autograd(way, monkeypatch):
    """apex's O1 replaces F.linear with a function that casts; what it returns has another type."""
    weight, bias = parameters()
    inputs = torch.ones(2, 4)
    if way == "fp16":
        weight, bias, inputs = weight.half(), bias.half(), inputs.half()
    if way == "patched":
        plain = F.linear
        monkeypatch.setattr(
            F, "linear", lambda x, w, b: plain(x.bfloat16(), w.bfloat16(), b.bfloat16())
        )
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=way == "autocast"):
        shared = SharedLinear(weight, bias)
        output = shared(shared(inputs).to(inputs.dtype))
    assert output.dtype == (torch.float16 if way == "fp16" else torch.bfloat16)
    output.sum().backward()
