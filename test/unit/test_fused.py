"""The fused layers compute what the plain ones do: on a GPU, or as Triton interprets them."""

import copy
import gc

import numpy
import pytest
import torch
from torch import nn

from model.configuration_albert import AlbertConfig
from model.fused import parts
from model.fused.attention import FusedAttention
from model.fused.layer import try_kernels
from model.fused.parts import FusedLinear, FusedNorm, product_has_gelu
from model.modeling_albert import AlbertForSequenceClassification
from model.sums import Sums

ON_GPU = torch.cuda.is_available()
triton = pytest.importorskip("triton", reason="triton is not installed (requirements-triton.txt)")
TRITON, NUMPY = (tuple(map(int, package.__version__.split(".")[:2])) for package in (triton, numpy))
pytestmark = [
    pytest.mark.newer_torch("has no fused kernels"),
    pytest.mark.skipif(
        not ON_GPU and TRITON < (3, 7) and NUMPY >= (2, 4),
        reason=f"Triton {triton.__version__} interprets nothing with NumPy {numpy.__version__}",
    ),
]
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
# A GPU's products are in TF32.
# The interpreter knows no bf16.
HALF = torch.bfloat16 if ON_GPU else torch.float16
CLOSE = {"atol": 2e-3, "rtol": 2e-2} if ON_GPU else {"atol": 2e-6, "rtol": 1e-4}


def make(dropout=0.0, **changes):
    """Return a plain model and a fused one of the same weights."""
    torch.manual_seed(0)
    values = {
        "vocab_size": 50, "embedding_size": 16, "hidden_size": 24, "num_attention_heads": 2,
        "intermediate_size": 40, "num_hidden_layers": 2, "hidden_act": "gelu_new",
        "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout,
        "max_position_embeddings": 160, "classifier_dropout_prob": 0.0,
    } | changes  # fmt: skip
    config = AlbertConfig(**values)
    config.set_task(["0", "1"])
    plain = AlbertForSequenceClassification(config)
    for parameter in plain.parameters():  # Weights of a usual size: each part shows in the result.
        nn.init.normal_(parameter, std=0.3 if parameter.ndim > 1 else 0.5)
    plain.to(DEVICE).train()
    fused = copy.deepcopy(plain)
    fused.albert.encoder.fused = True
    return plain, fused


def batch(width=5, masked=True, rows=3):
    generator = torch.Generator().manual_seed(1)
    inputs = {
        "input_ids": torch.randint(3, 50, (rows, width), generator=generator),
        "labels": torch.randint(0, 2, (rows,), generator=generator),
    }
    if masked:
        lengths = torch.randint(1, width + 1, (rows, 1), generator=generator)
        inputs["attention_mask"] = torch.arange(width) < lengths
    return {name: tensor.to(DEVICE) for name, tensor in inputs.items()}


def assert_near(gradients, wanted):
    for name, gradient in wanted.items():
        atol = CLOSE["rtol"] * gradient.abs().max().item() + CLOSE["atol"]
        torch.testing.assert_close(gradients[name], gradient, rtol=0, atol=atol, msg=name)


def learn(model, inputs, passes=1):
    for _ in range(passes):
        output = model(**inputs)
        output.loss.backward()
    return output.logits, {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({}, {}),
        ({"hidden_act": "gelu"}, {"masked": False}),
        ({"hidden_act": "relu", "inner_group_num": 2}, {"width": 3}),
        ({"num_hidden_groups": 2, "num_attention_heads": 1}, {"width": 17, "rows": 1}),
        ({"num_attention_heads": 1}, {"width": 70, "rows": 1}),
        ({}, {"width": 130, "rows": 1}),  # torch's attention takes this one
    ],
)
def test_outputs_and_gradients_are_those_of_the_plain_layers(changes, shape):
    plain, fused = make(**changes)
    inputs, passes = batch(**shape), 1 if shape else 2
    logits, gradients = learn(plain, inputs, passes)
    ours, our_gradients = learn(fused, inputs, passes)
    torch.testing.assert_close(ours, logits, **CLOSE)
    for name, gradient in gradients.items():
        size = gradient.abs().max().item()
        torch.testing.assert_close(
            our_gradients[name],
            gradient,
            rtol=0,
            atol=CLOSE["rtol"] * size + CLOSE["atol"],
            msg=name,
        )


@pytest.mark.parametrize("width", [5, 20])
def test_half_precision_is_as_near_as_that_of_the_plain_layers(width):
    plain, fused = make()
    inputs = batch(width, rows=2)
    _, wanted = learn(plain, inputs)
    distances = []
    for model in (make()[0], fused):
        with torch.autocast(DEVICE.type, HALF):
            loss = model(**inputs).loss
        loss.backward()
        pairs = [(p.grad, wanted[name]) for name, p in model.named_parameters()]
        distances.append(
            sum((a - b).norm().item() for a, b in pairs) / sum(b.norm().item() for _, b in pairs)
        )
        assert all(p.grad.dtype == torch.float32 for p in model.parameters())
    assert distances[1] < 2 * distances[0] < 0.3


def test_weights_in_half_precision_get_such_gradients():
    _, fused = make()
    fused.to(HALF)
    _, gradients = learn(fused, batch())
    assert {gradient.dtype for gradient in gradients.values()} == {HALF}


def test_evaluation_has_no_dropout():
    plain, fused = make(dropout=0.5)
    inputs = batch()
    with torch.inference_mode():
        logits, ours = plain.eval()(**inputs).logits, fused.eval()(**inputs).logits
    torch.testing.assert_close(ours, logits, **CLOSE)


def test_dropout_follows_the_seed_and_so_do_its_gradients():
    """Along its gradient the loss changes as that says, with the same random numbers."""
    _, fused = make(dropout=0.3)
    inputs = batch(rows=2)

    def loss(seed=3):
        torch.manual_seed(seed)
        return fused(**inputs).loss

    first = loss()
    first.backward()
    assert loss() == first
    assert loss(4) != first
    parameters = list(fused.parameters())
    gradients = [p.grad.clone() for p in parameters]
    slope = sum(g.double().square().sum() for g in gradients)
    step = 0.02 / slope.sqrt().item()
    losses = []
    for sign in (1, -2):
        with torch.no_grad():
            torch._foreach_add_(parameters, gradients, alpha=sign * step)
        losses.append(loss().double())
    assert (losses[0] - losses[1]).item() == pytest.approx(2 * step * slope.item(), rel=0.02)


def test_dropout_keeps_the_share_that_it_should():
    norm = FusedNorm(nn.LayerNorm(768, device=DEVICE), 0.1)
    z = torch.ones(40, 1, 768, device=DEVICE, requires_grad=True)
    residual = torch.zeros_like(z)
    given = z.clone()
    norm(given, residual, torch.tensor(5, device=DEVICE))
    kept = given.detach()  # Where it was, there is now what the LayerNorm got.
    assert kept.unique().tolist() == pytest.approx([0.0, 1 / 0.9])
    assert (kept > 0).float().mean().item() == pytest.approx(0.9, abs=0.01)


def test_each_backward_pass_through_a_forward_begins_anew():
    """The first of three fails midway, when the last layers have left their sums."""
    plain, fused = make()
    inputs = batch()
    _, wanted = learn(plain, inputs)
    mapping = fused.albert.encoder.embedding_hidden_mapping_in
    planted = []

    def fail(module, arguments, output):
        output.register_hook(lambda gradient: planted.pop() if planted else None)

    handle = mapping.register_forward_hook(fail)
    loss = fused(**inputs).loss
    handle.remove()
    planted.append("no gradient")
    with pytest.raises(Exception, match="hook"):
        loss.backward(retain_graph=True)
    for _ in range(2):
        fused.zero_grad()
        loss.backward(retain_graph=True)
        assert_near({name: p.grad for name, p in fused.named_parameters()}, wanted)


def test_biases_alone_can_learn():
    plain, fused = make()
    for model in (plain, fused):
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.ndim < 2)
    _, wanted = learn(plain, batch())
    _, gradients = learn(fused, batch())
    missing, expected = (
        {name for name, gradient in found.items() if gradient is None}
        for found in (gradients, wanted)
    )
    assert missing == expected
    some = {name: gradient for name, gradient in wanted.items() if gradient is not None}
    assert_near(gradients, some)


def test_a_step_leaves_nothing_in_memory():
    _, fused = make()
    for _ in range(2):
        learn(fused, batch())
    gc.collect()
    kinds = (Sums, FusedLinear, FusedNorm)
    assert not [item for item in gc.get_objects() if type(item) in kinds]


def test_evaluation_does_not_prepare_for_a_backward_pass():
    norm = FusedNorm(nn.LayerNorm(24, device=DEVICE), 0.0)
    z = torch.randn(2, 1, 24, device=DEVICE)
    before = z.clone()
    with torch.inference_mode():
        norm(z, torch.zeros_like(z), None)
    assert z.equal(before)


def test_the_kernels_can_be_tried():
    plain, _ = make()
    (layer,) = plain.albert.encoder.albert_layer_groups[0].albert_layers
    try_kernels(layer, HALF)
    assert layer.ffn.weight.grad is None


@pytest.mark.parametrize(("part", "dropout"), [(FusedAttention, 0.1), (FusedNorm, 0.0)])
def test_kernels_that_compute_something_else_are_refused(monkeypatch, part, dropout):
    plain, _ = make(dropout)
    (layer,) = plain.albert.encoder.albert_layer_groups[0].albert_layers
    right = part.__call__
    monkeypatch.setattr(part, "__call__", lambda *arguments: right(*arguments) * 2)
    with pytest.raises(ArithmeticError, match="compute wrong numbers here: the outputs"):
        try_kernels(layer, HALF)


def test_gradients_of_something_else_are_refused(monkeypatch):
    plain, _ = make()
    (layer,) = plain.albert.encoder.albert_layer_groups[0].albert_layers
    right = parts._GeluUse.backward
    monkeypatch.setattr(
        parts._GeluUse, "backward", staticmethod(lambda ctx, given: right(ctx, 2 * given))
    )
    with pytest.raises(ArithmeticError, match="the gradients of the inputs"):
        try_kernels(layer, HALF)


def test_a_product_has_the_gelu_that_it_is_asked_for():
    """It is one on a GPU and the other on a CPU, and none is taken for the other."""
    numbers = torch.linspace(-4, 4, 64, device=DEVICE)
    nothing = torch.zeros(16, 16, device=DEVICE), torch.zeros(16, 64, device=DEVICE)
    own = torch._addmm_activation(numbers, *nothing, use_gelu=True)[0]
    found = [kind for kind in ("none", "tanh") if product_has_gelu(kind, torch.float32, DEVICE)]
    near = [
        kind
        for kind in ("none", "tanh")
        if (own - nn.functional.gelu(numbers, approximate=kind)).abs().max() < 1e-4
    ]
    assert found == near
    assert len(found) == 1


@pytest.mark.parametrize("act", ["gelu", "gelu_new"])
def test_evaluation_takes_the_gelu_of_the_product_where_that_is_the_same(monkeypatch, act):
    plain, fused = make(hidden_act=act, num_hidden_layers=3)
    inputs, taken = batch(), []
    right = FusedLinear.with_gelu
    monkeypatch.setattr(
        FusedLinear, "with_gelu", lambda *arguments: taken.append(1) or right(*arguments)
    )
    fused(**inputs).loss.backward()
    assert not taken
    kind = plain.albert.encoder.albert_layer_groups[0].albert_layers[0].activation.approximate
    with torch.inference_mode():
        logits, ours = plain.eval()(**inputs).logits, fused.eval()(**inputs).logits
    assert len(taken) == (3 if product_has_gelu(kind, torch.float32, DEVICE) else 0)
    torch.testing.assert_close(ours, logits, **CLOSE)
