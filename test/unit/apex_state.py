"""What apex leaves in torch, and how a test takes it back."""

import pytest
from apex import amp
from torch import nn
from torch_npu._device import release


def forget():
    """Take back what apex changed in torch: it is made for one initialization a process."""
    state = getattr(amp, "_amp_state", None)
    if hasattr(state, "handle"):
        state.handle._is_active = False
        state.handle._all_wrappers.reverse()  # Some functions are wrapped twice.
        state.handle._deactivate()
        del state.handle
    release.set_autocast_enabled(False)


@pytest.fixture(autouse=True)
def one_initialization(monkeypatch):
    monkeypatch.setattr(nn.Module, "zero_grad", nn.Module.zero_grad)
    yield
    forget()
