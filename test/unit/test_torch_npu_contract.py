"""Every name of torch_npu that the project and its double use is in the real package, with its signature.

The real wheel is read, never imported: without CANN it does not load. ``TORCH_NPU_WHEEL`` names a wheel
that is there already; otherwise pip fetches the release in requirements-npu.txt, once.
"""

import ast
import inspect
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from helpers import ROOT

DOUBLES = Path(__file__).parent / "doubles"
RELEASE = re.search(r"^torch_npu==(\S+)$", (ROOT / "requirements-npu.txt").read_text(), re.M)[1]
FUNCTION = "npu/__init__.py"

# The name as the project or the double calls it, the real file that defines it, and the double's.
NAMES = [
    ("is_available", "npu/__init__.py", FUNCTION),
    ("device_count", "npu/__init__.py", FUNCTION),
    ("get_device_name", "npu/__init__.py", FUNCTION),
    ("is_initialized", "npu/__init__.py", FUNCTION),
    ("_is_in_bad_fork", "npu/__init__.py", FUNCTION),
    ("_lazy_init", "npu/__init__.py", FUNCTION),
    ("set_device", "npu/utils.py", FUNCTION),
    ("current_device", "npu/utils.py", FUNCTION),
    ("synchronize", "npu/utils.py", FUNCTION),
    ("is_bf16_supported", "npu/utils.py", FUNCTION),
    ("set_compile_mode", "npu/npu_config.py", FUNCTION),
    ("is_jit_compile_false", "npu/npu_config.py", FUNCTION),
    ("get_amp_supported_dtype", "npu/autocast_utils.py", FUNCTION),
    ("empty_cache", "npu/memory.py", FUNCTION),
    ("memory_allocated", "npu/memory.py", FUNCTION),
    ("max_memory_allocated", "npu/memory.py", FUNCTION),
    ("reset_peak_memory_stats", "npu/memory.py", FUNCTION),
    ("manual_seed", "npu/random.py", FUNCTION),
    ("manual_seed_all", "npu/random.py", FUNCTION),
    ("get_rng_state", "npu/random.py", FUNCTION),
    ("set_rng_state", "npu/random.py", FUNCTION),
    ("autocast.__init__", "npu/amp/autocast_mode.py", "npu/amp.py"),
    ("GradScaler.__init__", "npu/amp/grad_scaler.py", "npu/amp.py"),
    ("GradScaler.scale", "npu/amp/grad_scaler.py", "npu/amp.py"),
    ("GradScaler.unscale_", "npu/amp/grad_scaler.py", "npu/amp.py"),
    ("GradScaler.update", "npu/amp/grad_scaler.py", "npu/amp.py"),
    ("GradScaler.state_dict", "npu/amp/grad_scaler.py", "npu/amp.py"),
    ("GradScaler.load_state_dict", "npu/amp/grad_scaler.py", "npu/amp.py"),
    ("GradScaler._unscale_grads_", "npu/amp/grad_scaler.py", "npu/amp.py"),
    ("GradScaler._maybe_opt_step", "npu/amp/grad_scaler.py", "npu/amp.py"),
    ("NpuFusedOptimizerBase.__init__", "optim/npu_fused_optim_base.py", "optim.py"),
    ("NpuFusedOptimizerBase.zero_grad", "optim/npu_fused_optim_base.py", "optim.py"),
    ("NpuFusedOptimizerBase.step", "optim/npu_fused_optim_base.py", "optim.py"),
    ("NpuFusedOptimizerBase.clip_grad_norm_fused_", "optim/npu_fused_optim_base.py", "optim.py"),
    ("NpuFusedOptimizerBase._maybe_init_combined_params_and_grads", "optim/npu_fused_optim_base.py",
     "optim.py"),
    ("NpuFusedLamb.__init__", "optim/npu_fused_lamb.py", "optim.py"),
    ("NpuFusedAdamW.__init__", "optim/npu_fused_adamw.py", "optim.py"),
]  # fmt: skip

# What a package hands on, in the file that users import it from.
EXPORTS = [
    *(
        (name, "npu/__init__.py")
        for name, _, double in NAMES
        if double == FUNCTION and name[0] != "_"
    ),
    ("autocast", "npu/amp/__init__.py"),
    ("GradScaler", "npu/amp/__init__.py"),
    ("NpuFusedLamb", "optim/__init__.py"),
    ("NpuFusedAdamW", "optim/__init__.py"),
]


@pytest.fixture(scope="module")
def real():
    """Return a function from a file's name in the real package to its source."""
    wheel = Path(os.environ["TORCH_NPU_WHEEL"]) if "TORCH_NPU_WHEEL" in os.environ else _download()
    with zipfile.ZipFile(wheel) as archive:
        yield lambda file: archive.read(f"torch_npu/{file}").decode()


def _download() -> Path:
    folder = Path(tempfile.gettempdir()) / f"torch_npu-{RELEASE}-wheel"
    if not (found := list(folder.glob("*.whl"))):
        words = ("download", "--quiet", "--no-deps", f"torch_npu=={RELEASE}", "-d", folder)
        result = subprocess.run(
            [sys.executable, "-m", "pip", *words, "--retries", "1", "--timeout", "30"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if result.returncode:
            reason = (result.stderr.strip() or "no reason given").splitlines()[-1]
            pytest.skip(
                f"pip cannot fetch torch_npu=={RELEASE}, and TORCH_NPU_WHEEL is not set: {reason}"
            )
        found = list(folder.glob("*.whl"))
    return found[0]


def definition(source, name):
    """Return the function that ``name`` (``function`` or ``Class.method``) means in ``source``."""
    body = ast.parse(source).body
    for part in name.split("."):
        nodes = [node for node in body if getattr(node, "name", None) == part]
        assert nodes, f"{name}: there is no {part}"
        body = nodes[-1].body
    return nodes[-1]


def parameters(function):
    """Return the names and the defaults of a function's parameters, and which of them may vary."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args]
    missing = [inspect.Parameter.empty] * (len(named) - len(arguments.defaults))
    defaults = [*missing, *map(ast.unparse, arguments.defaults)]
    named += arguments.kwonlyargs
    defaults += [node and ast.unparse(node) for node in arguments.kw_defaults]
    pairs = [(own.arg, default) for own, default in zip(named, defaults, strict=True)]
    return pairs, bool(arguments.vararg), bool(arguments.kwarg)


@pytest.mark.parametrize(("name", "file", "double"), NAMES, ids=[name for name, *_ in NAMES])
def test_the_doubles_signature_is_the_real_one(real, name, file, double):
    own = definition((DOUBLES / "torch_npu" / double).read_text(), name)
    assert parameters(own) == parameters(definition(real(file), name))


@pytest.mark.parametrize(("name", "file"), EXPORTS)
def test_users_find_the_name_where_the_double_has_it(real, name, file):
    source = real(file)
    names = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    listed = re.search(r"__all__ = \[(.*?)\]", source, re.DOTALL)[1]
    assert f'"{name}"' in listed or name in names


def test_hccl_is_registered_as_the_double_registers_it(real):
    def registration(source):
        calls = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "register_backend"
        ]
        first = calls[0]
        return ast.unparse(first.args[0]), {k.arg: ast.unparse(k.value) for k in first.keywords}

    own = registration((DOUBLES / "torch_npu" / "_hccl.py").read_text())
    assert own == registration(real("_init/registry/distributed.py"))
    assert own[0] == "'hccl'"


def test_the_device_is_registered_as_npu(real):
    source = real("_init/registry/backend.py")
    assert 'rename_privateuse1_backend("npu")' in source
    assert '_register_device_module("npu", torch_npu.npu)' in source


@pytest.mark.parametrize(
    ("rule", "file"),
    [
        (".clamp(0, 10)", "optim/npu_fused_lamb.py"),
        ("adam_step = exp_avg / exp_avg_sq.sqrt().add(group['eps'])", "optim/npu_fused_lamb.py"),
        ("if weight_norm == 0 or adam_norm == 0:", "optim/npu_fused_lamb.py"),
        ("if self.global_grad_norm.item() > 1:", "optim/npu_fused_lamb.py"),
        (
            "combined_param.mul_(1 - group['lr'] * group['weight_decay'])",
            "optim/npu_fused_adamw.py",
        ),
        ("set_to_none is not supported in fused optimizers", "optim/npu_fused_optim_base.py"),
        ('state["dynamic"] = self._dynamic', "npu/amp/grad_scaler.py"),
    ],
)
def test_the_rules_that_the_double_follows_are_still_there(real, rule, file):
    assert rule in real(file)
