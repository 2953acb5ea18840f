"""Pixel-wise steps run together, block of rows by block of rows.

What one step hands to the next then stays in the processor's cache. Nothing is
computed otherwise: the same functions run on the same pixels, so results are equal to
the bit. `plan` says which steps, `stage` runs them.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .frame import Array

if TYPE_CHECKING:
    from .stage import Instruction

#: Pixels of a block: some of them in float32 fit a second-level cache of 1 MiB or
#: more, and what a call costs is small beside it (measured from 2^14 to 2^19).
BLOCK = 2**17


def joined(instructions: Sequence["Instruction"]) -> tuple["Instruction", ...]:
    """Note at each instruction how many, from it on, are run together."""
    found = list(instructions)
    at = 0
    while at < len(found):
        count = _together(found[at:])
        found[at] = replace(found[at], fused=count)
        at += count
    return tuple(found)


def _together(instructions: Iterable["Instruction"]) -> int:
    """Return how many pixel-wise ones follow whose values nobody else needs."""
    count = 1
    made: set[str] = set()
    gone: set[str] = set()
    for number, instruction in enumerate(instructions, 1):
        if not instruction.pixelwise:
            break
        gone |= set(instruction.drops)
        if made <= gone:
            count = number
        made.add(instruction.name)
    return count


def groups(
    instructions: tuple["Instruction", ...],
) -> Iterator[tuple["Instruction", ...]]:
    """Yield the instructions, those together that are run together."""
    at = 0
    while at < len(instructions):
        count = instructions[at].fused
        yield instructions[at : at + count]
        at += count


def by_rows(
    group: tuple["Instruction", ...],
    values: Mapping[str, Any],
    run: Callable[["Instruction", Mapping[str, Any], Mapping[str, Array]], Any],
    seconds: dict[str, float],
) -> Array | None:
    """Return what the last of a group gives, or None where it is not worth it.

    That is: for small images; where an input is no image of as many rows; and where
    a step refuses its pixels, so that run alone it says so of the whole image.
    ``seconds`` is given the sum over all blocks for each step.
    """
    from .ops._runs import painted

    made = {instruction.name for instruction in group}
    outside = {name for i in group for name in i.inputs} - made
    given = {name: painted(values[name]) for name in outside}
    rows = {np.shape(v)[-2] if np.ndim(v) > 1 else 0 for v in given.values()}
    largest = max(np.size(v) for v in given.values())
    if len(rows) > 1 or largest < 4 * BLOCK:
        return None
    height = rows.pop()
    step = max(1, BLOCK * height // largest)
    spent = dict.fromkeys((i.name for i in group), 0.0)
    out: Array | None = None
    try:
        for start in range(0, height, step):
            place = (..., slice(start, start + step), slice(None))
            block = {name: value[place] for name, value in given.items()}
            result = _one(group, block, run, spent)
            if out is None:
                shape = (*result.shape[:-2], height, result.shape[-1])
                out = np.empty(shape, result.dtype)
            out[place] = result
    except Exception:  # raised again by the step alone, of the whole image
        return None
    seconds.update(spent)
    return out


def _one(
    group: tuple["Instruction", ...],
    block: dict[str, Any],
    run: Callable[["Instruction", Mapping[str, Any], Mapping[str, Array]], Any],
    spent: dict[str, float],
) -> Array:
    """Run a group on one block."""
    result: Any = None
    before = time.perf_counter()
    for instruction in group:
        result = block[instruction.name] = run(instruction, block, {})
        for name in instruction.drops:
            block.pop(name, None)
        now = time.perf_counter()
        spent[instruction.name] += now - before
        before = now
    pixels: Array = result
    return pixels
