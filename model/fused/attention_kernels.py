"""Triton kernels for the attention of short sequences, each of which fits into one program.

Libraries' kernels are made for long ones. These read query, key and value as one product left them, and
write their gradients as one product takes them, with the column sums that are the bias's gradient.
"""
# Triton takes types from the arguments of a call.
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _rows(base, first, rows, stride, size, ROWS: tl.constexpr, SIZE: tl.constexpr):
    """Return pointers to [ROWS, SIZE] numbers from row ``first`` on, and which of them are there."""
    row = first + tl.arange(0, ROWS)
    column = tl.arange(0, SIZE)
    return (
        base + row[:, None] * stride + column[None, :],
        (row < rows)[:, None] & (column < size)[None, :],
    )


@triton.jit(do_not_specialize=["queries", "keys"])
def attention_forward(
    states,
    mask,
    out,
    log_sums,
    seed,
    queries,
    keys,
    heads,
    size,
    factor,
    p,
    MASKED: tl.constexpr,
    DROPS: tl.constexpr,
    TRAINS: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    SIZE: tl.constexpr,
):
    """Write the attention of one head of one sequence, for QUERIES of its queries.

    ``states`` is [B, keys, 3, heads, size]: query, key and value; ``mask`` [B, keys] tells which keys are
    there; ``out`` is [B, queries, heads, size]. With TRAINS, ``log_sums`` [B, heads, queries] gets what
    each query's exponentials sum to.
    """
    head, sequence = tl.program_id(0), tl.program_id(1)
    first = tl.program_id(2) * QUERIES
    width = heads * size
    base = states + sequence * keys * 3 * width + head * size
    at, there = _rows(base, first, queries, 3 * width, size, QUERIES, SIZE)
    query = tl.load(at, mask=there, other=0.0)
    at, there = _rows(base + width, 0, keys, 3 * width, size, KEYS, SIZE)
    key = tl.load(at, mask=there, other=0.0)
    value = tl.load(at + width, mask=there, other=0.0)
    column = tl.arange(0, KEYS)
    seen = column < keys
    if MASKED:
        seen = seen & (tl.load(mask + sequence * keys + column, mask=seen, other=0) != 0)
    scores = tl.dot(query, tl.trans(key)) * factor
    scores = tl.where(seen[None, :], scores, float("-inf"))
    highest = tl.max(scores, 1)
    weights = tl.exp(scores - highest[:, None])
    total = tl.sum(weights, 1)
    weights /= total[:, None]
    if DROPS:
        weights = _dropped(weights, seed, p, sequence * heads + head, first, queries, QUERIES, KEYS)
    result = tl.dot(weights.to(value.dtype), value)
    at, there = _rows(
        out + sequence * queries * width + head * size, first, queries, width, size, QUERIES, SIZE
    )
    tl.store(at, result.to(out.dtype.element_ty), mask=there)
    if TRAINS:
        row = first + tl.arange(0, QUERIES)
        place = log_sums + (sequence * heads + head) * queries + row
        tl.store(place, highest + tl.log(total), mask=row < queries)


@triton.jit
def _dropped(weights, seed, p, place, first, queries, QUERIES: tl.constexpr, KEYS: tl.constexpr):
    """Return what dropout leaves of [QUERIES, KEYS] weights, scaled."""
    row = place * queries + first + tl.arange(0, QUERIES)
    offset = row[:, None] * KEYS + tl.arange(0, KEYS)[None, :]
    keeps = tl.rand(tl.load(seed), offset, n_rounds=7) >= p
    return tl.where(keeps, weights / (1.0 - p), 0.0)


@triton.jit(do_not_specialize=["batch", "queries", "keys"])
def attention_backward(
    gradient,
    states,
    mask,
    log_sums,
    to_states,
    sums,
    seed,
    batch,
    queries,
    keys,
    heads,
    size,
    factor,
    p,
    MASKED: tl.constexpr,
    DROPS: tl.constexpr,
    FIRST: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    SIZE: tl.constexpr,
):
    """Write the gradient of ``states``, for one head of every so many-th sequence.

    Add its column sums to this program's part of ``sums`` [programs, 3, heads, size]; with FIRST, begin
    them.
    """
    head, program = tl.program_id(0), tl.program_id(1)
    width = heads * size
    of_query = tl.zeros([SIZE], dtype=tl.float32)
    of_key = tl.zeros([SIZE], dtype=tl.float32)
    of_value = tl.zeros([SIZE], dtype=tl.float32)
    column = tl.arange(0, KEYS)
    for sequence in range(program, batch, tl.num_programs(1)):
        here = sequence * keys * 3 * width + head * size
        at, there = _rows(states + here + width, 0, keys, 3 * width, size, KEYS, SIZE)
        key = tl.load(at, mask=there, other=0.0)
        value = tl.load(at + width, mask=there, other=0.0)
        seen = column < keys
        if MASKED:
            seen = seen & (tl.load(mask + sequence * keys + column, mask=seen, other=0) != 0)
        to_key = tl.zeros([KEYS, SIZE], dtype=tl.float32)
        to_value = tl.zeros([KEYS, SIZE], dtype=tl.float32)
        for first in range(0, KEYS, QUERIES):
            query_at, asks = _rows(states + here, first, queries, 3 * width, size, QUERIES, SIZE)
            query = tl.load(query_at, mask=asks, other=0.0)
            given_base = gradient + sequence * queries * width + head * size
            given_at, asks = _rows(given_base, first, queries, width, size, QUERIES, SIZE)
            given = tl.load(given_at, mask=asks, other=0.0)
            row = first + tl.arange(0, QUERIES)
            place = log_sums + (sequence * heads + head) * queries + row
            log_sum = tl.load(place, mask=row < queries, other=float("inf"))
            scores = tl.dot(query, tl.trans(key)) * factor
            weights = tl.where(seen[None, :], tl.exp(scores - log_sum[:, None]), 0.0)
            to_weights = tl.dot(given, tl.trans(value))
            left = weights
            if DROPS:
                at_place = sequence * heads + head
                left = _dropped(weights, seed, p, at_place, first, queries, QUERIES, KEYS)
                to_weights = _dropped(to_weights, seed, p, at_place, first, queries, QUERIES, KEYS)
            to_value += tl.dot(tl.trans(left.to(given.dtype)), given)
            along = tl.sum(weights * to_weights, 1)
            to_scores = (weights * (to_weights - along[:, None]) * factor).to(key.dtype)
            to_query = tl.dot(to_scores, key)
            to_key += tl.dot(tl.trans(to_scores), query)
            query_at, asks = _rows(to_states + here, first, keys, 3 * width, size, QUERIES, SIZE)
            tl.store(query_at, to_query.to(to_states.dtype.element_ty), mask=asks)
            of_query += tl.sum(to_query, 0)
        at, there = _rows(to_states + here + width, 0, keys, 3 * width, size, KEYS, SIZE)
        tl.store(at, to_key.to(to_states.dtype.element_ty), mask=there)
        tl.store(at + width, to_value.to(to_states.dtype.element_ty), mask=there)
        of_key += tl.sum(to_key, 0)
        of_value += tl.sum(to_value, 0)
    number = tl.arange(0, SIZE)
    inside = number < size
    place = sums + program * 3 * width + head * size + number
    if not FIRST:
        of_query += tl.load(place, mask=inside, other=0.0)
        of_key += tl.load(place + width, mask=inside, other=0.0)
        of_value += tl.load(place + 2 * width, mask=inside, other=0.0)
    tl.store(place, of_query, mask=inside)
    tl.store(place + width, of_key, mask=inside)
    tl.store(place + 2 * width, of_value, mask=inside)
