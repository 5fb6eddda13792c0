"""Triton kernels for what an ALBERT layer does between its matrix products.

torch runs these operations one by one, each of which moves all numbers through memory. All sums are in
fp32. The sums over rows that are the gradients of weights and biases are kept in parts, one for each
program of a launch, which adds to its part from layer to layer, so that their order is always the same.

Importing this needs triton, which torch brings along where it is built for CUDA.
"""
# Triton takes types from the arguments of a call.
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def norm_forward(
    z,
    residual,
    out,
    kept,
    weight,
    bias,
    mean,
    scale,
    seed,
    columns,
    eps,
    p,
    DROPS: tl.constexpr,
    TRAINS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write LayerNorm(residual + dropout(z)) of one row to ``out``.

    With TRAINS also the sum before the LayerNorm in the place of ``z``, and the row's mean and
    1 / standard deviation. With DROPS also which numbers dropout keeps.
    """
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    inside = column < columns
    at = row * columns + column
    total = tl.load(z + at, mask=inside, other=0.0).to(tl.float32)
    if DROPS:
        keeps = tl.rand(tl.load(seed), at, n_rounds=7) >= p
        tl.store(kept + at, keeps.to(tl.int8), mask=inside)
        total = tl.where(keeps, total / (1.0 - p), 0.0)
    total += tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)
    average = tl.sum(total, 0) / columns
    centred = tl.where(inside, total - average, 0.0)
    factor = 1.0 / tl.sqrt(tl.sum(centred * centred, 0) / columns + eps)
    normal = centred * factor
    normal *= tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    normal += tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, normal.to(out.dtype.element_ty), mask=inside)
    if TRAINS:
        tl.store(z + at, total.to(z.dtype.element_ty), mask=inside)
        tl.store(mean + row, average)
        tl.store(scale + row, factor)


@triton.jit(do_not_specialize=["rows", "is_first"])
def norm_backward(
    gradient,
    total,
    kept,
    weight,
    mean,
    scale,
    to_residual,
    to_z,
    sums,
    rows,
    is_first,
    columns,
    p,
    DROPS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write the gradients of :func:`norm_forward`'s inputs, for every so many-th row.

    Add those of weight, bias, and of a bias that was added to ``z``, to this program's [3, columns] of
    ``sums``, or begin them if ``is_first``.
    """
    program = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    inside = column < columns
    factor = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    of_weight = tl.zeros([BLOCK], dtype=tl.float32)
    of_bias = tl.zeros([BLOCK], dtype=tl.float32)
    of_z = tl.zeros([BLOCK], dtype=tl.float32)
    for row in range(program, rows, tl.num_programs(0)):
        at = row * columns + column
        given = tl.load(gradient + at, mask=inside, other=0.0).to(tl.float32)
        centred = tl.load(total + at, mask=inside, other=0.0).to(tl.float32) - tl.load(mean + row)
        deviation = tl.load(scale + row)
        normal = tl.where(inside, centred * deviation, 0.0)
        of_weight += given * normal
        of_bias += given
        given *= factor
        along = tl.sum(given * normal, 0) / columns
        average = tl.sum(given, 0) / columns
        result = tl.where(inside, (given - normal * along - average) * deviation, 0.0)
        tl.store(to_residual + at, result.to(to_residual.dtype.element_ty), mask=inside)
        if DROPS:
            keeps = tl.load(kept + at, mask=inside, other=0) != 0
            result = tl.where(keeps, result / (1.0 - p), 0.0)
            tl.store(to_z + at, result.to(to_z.dtype.element_ty), mask=inside)
        of_z += result
    place = sums + program * 3 * columns + column
    before = column < columns * (1 - is_first)
    of_weight += tl.load(place, mask=before, other=0.0)
    of_bias += tl.load(place + columns, mask=before, other=0.0)
    of_z += tl.load(place + 2 * columns, mask=before, other=0.0)
    tl.store(place, of_weight, mask=inside)
    tl.store(place + columns, of_bias, mask=inside)
    tl.store(place + 2 * columns, of_z, mask=inside)


@triton.jit(do_not_specialize=["rows", "is_first"])
def gelu_backward(
    gradient,
    inputs,
    to_inputs,
    sums,
    rows,
    is_first,
    columns,
    TANH: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write the gradient of GELU's inputs, for some columns and every so many-th ROWS rows.

    Add up its columns in this program's part of ``sums`` [programs, columns], or begin them if
    ``is_first``.
    TANH is the approximation with that function.
    """
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = column < columns
    program = tl.program_id(1)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for first in range(program * ROWS, rows, tl.num_programs(1) * ROWS):
        row = first + tl.arange(0, ROWS)
        at = row[:, None] * columns + column[None, :]
        here = (row < rows)[:, None] & inside[None, :]
        given = tl.load(gradient + at, mask=here, other=0.0).to(tl.float32)
        x = tl.load(inputs + at, mask=here, other=0.0).to(tl.float32)
        if TANH:
            inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
            tanh = 2.0 * tl.sigmoid(2.0 * inner) - 1.0
            slope = 0.7978845608028654 * (1.0 + 3.0 * 0.044715 * x * x)
            slope = 0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * slope
        else:
            slope = 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
            slope += x * 0.3989422804014327 * tl.exp(-0.5 * x * x)
        result = given * slope
        tl.store(to_inputs + at, result.to(to_inputs.dtype.element_ty), mask=here)
        total += tl.sum(result, 0)
    place = sums + program * columns + column
    total += tl.load(place, mask=column < columns * (1 - is_first), other=0.0)
    tl.store(place, total, mask=inside)
