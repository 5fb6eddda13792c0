"""Compile all kernels for a GPU of compute capability 8.0, which need not be there.

python test/unit/compile_kernels.py FOLDER, which gets what Triton keeps.
"""

import os
import sys
from pathlib import Path

os.environ["TRITON_CACHE_DIR"] = sys.argv[1]
sys.path.insert(0, str(Path(__file__).parents[2]))

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from model.fused import attention_kernels, kernels

TARGET = GPUTarget("cuda", 80, 32)
NAMES = {
    "*bf16": "z residual out total gradient inputs to_residual to_z to_inputs states to_states",
    "*fp32": "weight bias mean scale sums log_sums",
    "*i64": "seed",
    "*i8": "kept",
    "*i1": "mask",
    "i32": "rows columns batch queries keys heads size is_masked is_first",
    "fp32": "eps p factor",
}
TYPES = {name: kind for kind, names in NAMES.items() for name in names.split()}


VERSION = tuple(map(int, triton.__version__.split(".")[:2]))


def compile_one(kernel, constants, **options):
    names = kernel.arg_names
    types = {name: TYPES[name] for name in names if name not in constants}
    values = constants
    if VERSION < (
        3,
        2,
    ):  # torch 2.4 and 2.5 bring such ones, which take arguments by their numbers.
        types = {names.index(name): kind for name, kind in types.items()}
        values = {names.index(name): value for name, value in constants.items()}
    elif VERSION > (3, 2):
        types = {name: types.get(name, "constexpr") for name in names}
        values = {(names.index(name),): value for name, value in constants.items()}
    triton.compile(ASTSource(kernel, types, values), target=TARGET, options=options)
    print(kernel.__name__, constants)


DROPS = {"DROPS": True}
NO_DROPS = {"DROPS": False, "seed": None}
ATTENTION = {"KEYS": 32, "SIZE": 64}
compile_one(kernels.norm_forward, DROPS | {"TRAINS": True, "BLOCK": 1024})
compile_one(
    kernels.norm_forward,
    NO_DROPS | {"kept": None, "mean": None, "scale": None, "TRAINS": False, "BLOCK": 1024},
)
compile_one(kernels.norm_backward, DROPS | {"BLOCK": 1024})
compile_one(kernels.gelu_backward, {"TANH": True, "ROWS": 32, "BLOCK": 128})
compile_one(kernels.gelu_backward, {"TANH": False, "ROWS": 32, "BLOCK": 128})
compile_one(attention_kernels.attention_forward, NO_DROPS | ATTENTION)
compile_one(attention_kernels.attention_backward, DROPS | ATTENTION)
