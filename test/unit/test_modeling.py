"""The network gives the reference's numbers, and Hugging Face's."""

import pytest
import torch
from helpers import DATA, golden_model
from torch.utils._python_dispatch import TorchDispatchMode

from model import modeling_albert
from model.configuration_albert import AlbertConfig
from model.modeling_albert import AlbertForSequenceClassification, attention_as_products
from model.weight_names import huggingface_key
from tools.machine.device import Device

GOLDENS = ("albert_sst2_tiny", "albert_stsb_tiny", "albert_two_groups_tiny")


@pytest.mark.parametrize("name", GOLDENS)
def test_logits_loss_and_gradients_equal_the_reference(name):
    model, arrays, batch = golden_model(name)
    output = model(*batch, labels=torch.from_numpy(arrays["labels"]))
    output.loss.backward()
    gradients = {key: parameter.grad for key, parameter in model.named_parameters()}

    torch.testing.assert_close(output.logits, torch.from_numpy(arrays["logits"]), atol=1e-6, rtol=0)
    assert output.loss.item() == pytest.approx(float(arrays["loss"]), abs=1e-6)
    expected = {huggingface_key(k[5:]): arrays[k] for k in arrays if k.startswith("grad/")}
    assert gradients.keys() == expected.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(gradient, torch.from_numpy(expected[key]), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", GOLDENS)
def test_logits_equal_hugging_face(name):
    transformers = pytest.importorskip("transformers")
    model, _, (input_ids, attention_mask, token_type_ids) = golden_model(name)
    model.config.classifier_input_shift = 0.0
    values = {k: v for k, v in model.config.to_dict().items() if k not in ("id2label", "label2id")}
    peer = transformers.AlbertForSequenceClassification(transformers.AlbertConfig(**values)).eval()
    peer.load_state_dict(model.state_dict())
    with torch.no_grad():
        theirs = peer(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).logits
        ours = model(input_ids, attention_mask, token_type_ids).logits
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_logits_do_not_depend_on_padding():
    model, _, (input_ids, attention_mask, token_type_ids) = golden_model("albert_sst2_tiny")
    length = int(attention_mask[0].sum())
    with torch.no_grad():
        padded = model(input_ids, attention_mask, token_type_ids).logits[:1]
        bare = model(input_ids[:1, :length], None, token_type_ids[:1, :length]).logits
    torch.testing.assert_close(padded, bare, atol=1e-6, rtol=0)


def test_token_types_default_to_the_first_text():
    model, _, (input_ids, attention_mask, _) = golden_model("albert_sst2_tiny")
    with torch.no_grad():
        zeros = model(input_ids, attention_mask, torch.zeros_like(input_ids)).logits
        default = model(input_ids, attention_mask).logits
    torch.testing.assert_close(default, zeros)


def test_the_pooled_vector_needs_one_token_of_the_last_layer():
    model, _, (input_ids, attention_mask, token_type_ids) = golden_model("albert_two_groups_tiny")
    with torch.no_grad():
        hidden, pooled = model.albert(input_ids, attention_mask, token_type_ids)
        first, same = model.albert(input_ids, attention_mask, token_type_ids, first_only=True)
    assert hidden.shape[:2] == input_ids.shape
    assert first.shape[1] == 1
    torch.testing.assert_close(first, hidden[:, :1], atol=1e-6, rtol=0)
    torch.testing.assert_close(same, pooled, atol=1e-6, rtol=0)


def train_once(model, batch, labels):
    """Return the gradients, and the bytes that the forward pass kept for the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(*batch, labels=labels).loss
    loss.backward()
    return [parameter.grad for parameter in model.parameters()], sum(kept.values())


def test_gradient_checkpointing_keeps_less_and_changes_nothing():
    results = []
    for checkpointing in (False, True):
        model, arrays, batch = golden_model("albert_two_groups_tiny")
        model.albert.encoder.gradient_checkpointing = checkpointing
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.1
        torch.manual_seed(0)
        results.append(train_once(model, batch, torch.from_numpy(arrays["labels"])))
    (plain, plain_bytes), (checkpointed, checkpointed_bytes) = results
    torch.testing.assert_close(checkpointed, plain, atol=1e-6, rtol=1e-5)
    assert checkpointed_bytes < 0.7 * plain_bytes


def test_the_joint_projection_is_cast_once_under_autocast():
    model, _, batch = golden_model("albert_sst2_tiny")
    casts = []

    class Casts(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            if (
                operation.name() == "aten::_to_copy"
                and args[0].shape[0] == 3 * model.config.hidden_size
            ):
                casts.append(args[0].shape)
            return operation(*args, **(kwargs or {}))

    with torch.autocast("cpu", dtype=torch.bfloat16), Casts():
        assert model(*batch).logits.isfinite().all()
    assert len(casts) == 2 * model.config.num_hidden_groups  # weight and bias


def test_inner_groups_are_applied_in_turn():
    config = AlbertConfig.from_file(DATA / "albert_sst2_tiny.config.json")
    config.inner_group_num = 2
    encoder = AlbertForSequenceClassification(config).albert.encoder
    calls = []
    for name, layer in enumerate(encoder.albert_layer_groups[0].albert_layers):
        layer.register_forward_hook(lambda *_, name=name: calls.append(name))
    encoder(torch.zeros(1, 3, config.embedding_size), None)
    assert calls == [0, 1] * config.num_hidden_layers


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("hidden_size", 30, "num_attention_heads"),
        ("hidden_act", "mish", "gelu_new"),
        ("num_hidden_groups", 9, "num_hidden_layers"),
        ("vocab_size", 0, "vocab_size"),
        ("hidden_dropout_prob", 1.5, "hidden_dropout_prob"),
    ],
)
def test_impossible_configurations_are_refused(field, value, word):
    values = AlbertConfig.from_file(DATA / "albert_sst2_tiny.config.json").to_dict()
    with pytest.raises(ValueError, match=word):
        AlbertConfig.from_dict({**values, field: value})


def test_classifier_dropout_follows_the_reference():
    assert AlbertConfig().classifier_dropout == 0.1
    assert AlbertConfig(hidden_dropout_prob=0.3).classifier_dropout == 0.3
    assert AlbertConfig(classifier_dropout_prob=0.0).classifier_dropout == 0.0


@pytest.mark.parametrize("masked", [False, True])
def test_attention_as_products_is_attention(masked):
    torch.manual_seed(0)
    inputs = [torch.randn(3, 2, 7, 8, requires_grad=True) for _ in range(3)]
    mask = None
    if masked:
        mask = (torch.arange(7) < torch.tensor([7, 3, 1])[:, None])[:, None, None, :]
    results = []
    for attend in (torch.nn.functional.scaled_dot_product_attention, attention_as_products):
        result = attend(*inputs, attn_mask=mask, dropout_p=0.0)
        results.append([result, *torch.autograd.grad(result.square().sum(), inputs)])
    torch.testing.assert_close(results[1], results[0], atol=1e-5, rtol=1e-5)


def test_a_cpu_with_amx_attends_by_products_in_bf16_alone(monkeypatch):
    model, _, batch = golden_model(GOLDENS[0])
    used = []
    products = modeling_albert.attention_as_products
    monkeypatch.setattr(
        modeling_albert,
        "attention_as_products",
        lambda *a, **k: used.append(1) or products(*a, **k),
    )
    for units in ("avx512_bf16", "amx_bf16, avx512_bf16"):
        monkeypatch.setattr(Device, "fast_bf16", units)
        Device("cpu").place(model)
        model(*batch)
        assert not used
        with torch.autocast("cpu", torch.bfloat16):
            model(*batch)
    assert len(used) == model.config.num_hidden_layers
    model.bfloat16()(*batch)  # Its weights may be in bf16 themselves.
    assert len(used) == 2 * model.config.num_hidden_layers
    for width, more in ((64, model.config.num_hidden_layers), (65, 0)):
        used.clear()
        embeddings = torch.zeros(1, width, model.config.embedding_size, dtype=torch.bfloat16)
        model.albert.encoder(embeddings, None)
        assert len(used) == more


def test_dropout_of_attention_as_products_is_on_its_weights():
    torch.manual_seed(0)
    query = key = torch.zeros(1, 1, 200, 4)
    value = torch.ones(1, 1, 200, 4)
    sums = attention_as_products(query, key, value, None, 0.5)[..., 0]
    assert sums.mean().item() == pytest.approx(1.0, abs=0.02)
    assert sums.std().item() == pytest.approx((0.5 / 0.5 / 200) ** 0.5, rel=0.2)
