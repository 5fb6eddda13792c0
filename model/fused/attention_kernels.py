"""Triton kernels for the attention of short sequences, each of which fits into one program.

Libraries' kernels are made for long ones. These read query, key and value as one product left them, and
write their gradients as one product takes them, with the column sums that are the bias's gradient.

What differs from call to call is no constant of theirs, since each constant is a kernel to compile.
"""
# Triton takes types from the arguments of a call.
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _rows(base, rows, stride, size, ROWS: tl.constexpr, SIZE: tl.constexpr):
    """Return pointers to [ROWS, SIZE] numbers, and which of them are there."""
    row = tl.arange(0, ROWS)
    column = tl.arange(0, SIZE)
    there = (row < rows)[:, None] & (column < size)[None, :]
    return base + row[:, None] * stride + column[None, :], there


@triton.jit
def _seen(mask, sequence, keys, is_masked, KEYS: tl.constexpr):
    """Return which keys are there."""
    column = tl.arange(0, KEYS)
    asked = column < keys * is_masked
    given = tl.load(mask + sequence * keys + column, mask=asked, other=1)
    return (column < keys) & (given != 0)


@triton.jit
def _dropped(weights, seed, p, place, queries, KEYS: tl.constexpr):
    """Return what dropout leaves of [KEYS, KEYS] weights, scaled."""
    row = place * queries + tl.arange(0, KEYS)
    offset = row[:, None] * KEYS + tl.arange(0, KEYS)[None, :]
    keeps = tl.rand(tl.load(seed), offset, n_rounds=7) >= p
    return tl.where(keeps, weights / (1.0 - p), 0.0)


@triton.jit(do_not_specialize=["queries", "keys", "is_masked"])
def attention_forward(
    states,
    mask,
    out,
    log_sums,
    seed,
    queries,
    keys,
    is_masked,
    heads,
    size,
    factor,
    p,
    DROPS: tl.constexpr,
    KEYS: tl.constexpr,
    SIZE: tl.constexpr,
):
    """Write the attention of one head of one sequence.

    ``states`` is [B, keys, 3, heads, size]: query, key and value; ``mask`` [B, keys] tells which keys are
    there, if ``is_masked``; ``out`` is [B, queries, heads, size]; ``log_sums`` [B, heads, queries] gets
    the logarithm of what each query's exponentials sum to.
    """
    head, sequence = tl.program_id(0), tl.program_id(1)
    width = heads * size
    base = states + sequence * keys * 3 * width + head * size
    query_at, asks = _rows(base, queries, 3 * width, size, KEYS, SIZE)
    query = tl.load(query_at, mask=asks, other=0.0)
    key_at, there = _rows(base + width, keys, 3 * width, size, KEYS, SIZE)
    key = tl.load(key_at, mask=there, other=0.0)
    value = tl.load(key_at + width, mask=there, other=0.0)
    seen = _seen(mask, sequence, keys, is_masked, KEYS)
    scores = tl.dot(query, tl.trans(key)) * factor
    scores = tl.where(seen[None, :], scores, float("-inf"))
    highest = tl.max(scores, 1)
    weights = tl.exp(scores - highest[:, None])
    total = tl.sum(weights, 1)
    weights /= total[:, None]
    if DROPS:
        weights = _dropped(weights, seed, p, sequence * heads + head, queries, KEYS)
    result = tl.dot(weights.to(value.dtype), value)
    out_at, asks = _rows(
        out + sequence * queries * width + head * size, queries, width, size, KEYS, SIZE
    )
    tl.store(out_at, result.to(out.dtype.element_ty), mask=asks)
    row = tl.arange(0, KEYS)
    place = log_sums + (sequence * heads + head) * queries + row
    tl.store(place, highest + tl.log(total), mask=row < queries)


@triton.jit(do_not_specialize=["batch", "queries", "keys", "is_masked", "is_first"])
def attention_backward(
    gradient,
    states,
    mask,
    log_sums,
    to_states,
    sums,
    seed,
    batch,
    is_first,
    queries,
    keys,
    is_masked,
    heads,
    size,
    factor,
    p,
    DROPS: tl.constexpr,
    KEYS: tl.constexpr,
    SIZE: tl.constexpr,
):
    """Write the gradient of ``states``, for one head of every so many-th sequence.

    Add its column sums to this program's part of ``sums`` [programs, 3, heads, size], or begin them if
    ``is_first``.
    """
    head, program = tl.program_id(0), tl.program_id(1)
    width = heads * size
    of_query = tl.zeros([SIZE], dtype=tl.float32)
    of_key = tl.zeros([SIZE], dtype=tl.float32)
    of_value = tl.zeros([SIZE], dtype=tl.float32)
    for sequence in range(program, batch, tl.num_programs(1)):
        here = sequence * keys * 3 * width + head * size
        query_at, asks = _rows(states + here, queries, 3 * width, size, KEYS, SIZE)
        query = tl.load(query_at, mask=asks, other=0.0)
        key_at, there = _rows(states + here + width, keys, 3 * width, size, KEYS, SIZE)
        key = tl.load(key_at, mask=there, other=0.0)
        value = tl.load(key_at + width, mask=there, other=0.0)
        given_at, asks = _rows(
            gradient + sequence * queries * width + head * size, queries, width, size, KEYS, SIZE
        )
        given = tl.load(given_at, mask=asks, other=0.0)
        row = tl.arange(0, KEYS)
        place = sequence * heads + head
        log_sum = tl.load(log_sums + place * queries + row, mask=row < queries, other=float("inf"))
        seen = _seen(mask, sequence, keys, is_masked, KEYS)
        scores = tl.dot(query, tl.trans(key)) * factor
        weights = tl.where(seen[None, :], tl.exp(scores - log_sum[:, None]), 0.0)
        to_weights = tl.dot(given, tl.trans(value))
        left = weights
        if DROPS:
            left = _dropped(weights, seed, p, place, queries, KEYS)
            to_weights = _dropped(to_weights, seed, p, place, queries, KEYS)
        to_value = tl.dot(tl.trans(left.to(given.dtype)), given)
        along = tl.sum(weights * to_weights, 1)
        to_scores = (weights * (to_weights - along[:, None]) * factor).to(key.dtype)
        to_query = tl.dot(to_scores, key)
        to_key = tl.dot(tl.trans(to_scores), query)
        to_at, there = _rows(to_states + here, keys, 3 * width, size, KEYS, SIZE)
        tl.store(to_at, to_query.to(to_states.dtype.element_ty), mask=there)
        tl.store(to_at + width, to_key.to(to_states.dtype.element_ty), mask=there)
        tl.store(to_at + 2 * width, to_value.to(to_states.dtype.element_ty), mask=there)
        of_query += tl.sum(to_query, 0)
        of_key += tl.sum(to_key, 0)
        of_value += tl.sum(to_value, 0)
    number = tl.arange(0, SIZE)
    inside = number < size
    before = number < size * (1 - is_first)
    place = sums + program * 3 * width + head * size + number
    of_query += tl.load(place, mask=before, other=0.0)
    of_key += tl.load(place + width, mask=before, other=0.0)
    of_value += tl.load(place + 2 * width, mask=before, other=0.0)
    tl.store(place, of_query, mask=inside)
    tl.store(place + width, of_key, mask=inside)
    tl.store(place + 2 * width, of_value, mask=inside)
