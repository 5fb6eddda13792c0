"""torch.export and torch.onnx.export take the classifier, for batches of any size and length."""

import io

import pytest
import torch
from small_albert import small_albert

from model.modeling_albert import ClassifierOutput

pytestmark = pytest.mark.newer_torch("has no export with named dimensions")


def batch(size, length):
    torch.manual_seed(length)
    mask = torch.ones(size, length, dtype=torch.bool)
    mask[0, length // 2 :] = False
    ids, types = torch.randint(1, 50, (size, length)), torch.randint(0, 2, (size, length))
    return ids, mask, types


def dynamic():
    shape = {
        0: torch.export.Dim("batch", min=1, max=64),
        1: torch.export.Dim("length", min=2, max=16),
    }
    return (shape, shape, shape)


@pytest.fixture(scope="module")
def model():
    return small_albert().eval()


def test_an_exported_classifier_has_the_same_logits_at_any_size_and_length(model):
    program = torch.export.export(model, batch(3, 8), dynamic_shapes=dynamic())
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    again = torch.export.load(file).module()
    for size, length in ((3, 8), (1, 16), (7, 5), (64, 2)):
        found = again(*batch(size, length))
        assert isinstance(found, ClassifierOutput)
        assert found.loss is None
        with torch.no_grad():
            expected = model(*batch(size, length)).logits
        torch.testing.assert_close(found.logits, expected, atol=1e-6, rtol=0)
