"""Every name of torch_npu that the project and its double use is in the real package, with its signature.

The real wheel is read, never imported: without CANN it does not load.
"""

import ast
import inspect
import re
import zipfile
from pathlib import Path

import pytest
import torch
from simulated_npu import has_devices_in_python
from torch_npu_wheel import find_wheel

# There the package's own files are run instead: test_simulated_npu.py and test_apex.py.
pytestmark = pytest.mark.skipif(
    not has_devices_in_python(),
    reason=f"torch {torch.__version__} has a torch_npu whose files lie elsewhere",
)

DOUBLES = Path(__file__).parent / "doubles"
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
    ("is_support_inf_nan", "npu/utils.py", "npu/utils.py"),
    ("get_npu_overflow_flag", "npu/utils.py", "npu/utils.py"),
    ("clear_npu_overflow_flag", "npu/utils.py", "npu/utils.py"),
    ("set_compile_mode", "npu/npu_config.py", FUNCTION),
    ("get_amp_supported_dtype", "npu/autocast_utils.py", FUNCTION),
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
]


@pytest.fixture(scope="module")
def real():
    """Return a function from a file's name in the real package to its source."""
    with zipfile.ZipFile(find_wheel()) as archive:
        yield lambda file: archive.read(f"torch_npu/{file}").decode()


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
