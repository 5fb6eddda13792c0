"""Have albert_pytorch's own classifier score a batch: reference_logits.py SOURCE MODEL_FOLDER BATCH RESULT

SOURCE is a checkout of lonePatient/albert_pytorch at 46de9ec. BATCH is a file of torch.save's with ids,
mask and token types, [B, S] each; RESULT gets the logits. Nothing of this project is imported.
"""

import sys
from unittest import mock

import torch

source, folder, batch, result = sys.argv[1:]
sys.path[0] = source
for name in ("boto3", "botocore", "botocore.config", "botocore.exceptions", "requests"):
    sys.modules[name] = mock.MagicMock()  # They are for downloads alone.

from model.configuration_albert import AlbertConfig  # noqa: E402
from model.modeling_albert import AlbertForSequenceClassification  # noqa: E402

config = AlbertConfig.from_pretrained(folder)
model = AlbertForSequenceClassification.from_pretrained(folder, config=config).eval()
ids, mask, types = torch.load(batch)
with torch.no_grad():
    torch.save(model(ids, attention_mask=mask, token_type_ids=types)[0], result)
