"""monte_carlo_pi: a random stream for each part of the samples."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gilfree._arguments import whole_number
from gilfree._chunks import Chunks
from gilfree.kernels.chunks import task_count
from gilfree.kernels.pool import Workers
from gilfree.kernels.record import Kernel, Loop, entry_point

Seed: TypeAlias = (
    int
    | Sequence[int]
    | np.random.SeedSequence
    | np.random.BitGenerator
    | np.random.Generator
    | None
)


NS = 2.5  # nanoseconds per sample on one core


def monte_carlo_pi(
    samples: int,
    rng: Seed = None,
    *,
    nogil: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
) -> float:
    """Estimate π from the share of random points of a square that lie in its quarter circle.

    Parameters
    ----------
    samples : int
        The number of points.
    rng : optional
        What ``numpy.random.default_rng`` takes: None for a new estimate at each call, a seed for
        the same one, or a Generator, whose kind of bit generator is used. The streams are spawned
        from it, and their number depends on `samples` alone. So the estimate does not depend on
        the number of workers.
    nogil, workers, executor
        As in `sum_of_squares`.

    Returns
    -------
    float
        The estimate; its standard deviation is ``1.64 / sqrt(samples)``.

    Raises
    ------
    TypeError
        If `samples` is not a whole number, or `rng` can't spawn streams.
    ValueError
        If `samples` or `workers` is less than 1.

    Examples
    --------
    >>> gilfree.monte_carlo_pi(1_000_000, rng=1)
    3.1412
    """
    samples = whole_number("samples", samples)
    pool = Workers(workers, executor, work=samples * NS)
    # The streams decide the result, so their number must depend on `samples` alone.
    parts = task_count(samples, NS)
    streams = (nogil, *_spawn(rng), samples, parts)
    hits: list[int] = []
    if pool.elsewhere:
        tasks = ((None, (*streams, [number])) for number in range(parts))
        pool.send(_monte_carlo_pi, tasks, lambda _, result: hits.append(result))
    else:
        count = functools.partial(_monte_carlo_pi, *streams)
        pool.share(lambda chunks: hits.append(count(_numbers(chunks))), parts)
    return 4 * sum(hits) / samples


def _spawn(rng: Seed) -> tuple[type[np.random.BitGenerator], Any, tuple[int, ...]]:
    """Return the kind, entropy and key of a stream that `rng` spawns for this call alone."""
    # The same as default_rng's, which takes as long as 4,000 samples, as does a SeedSequence.
    if isinstance(rng, int):
        return np.random.PCG64, rng, (0,)
    if rng is None:
        return np.random.PCG64, np.random.SeedSequence().entropy, (0,)
    bit_generator = np.random.default_rng(rng).bit_generator
    if not isinstance(bit_generator.seed_seq, np.random.SeedSequence):
        msg = f"rng must be able to spawn streams, which this {type(bit_generator).__name__} is not"
        raise TypeError(msg)
    (child,) = bit_generator.seed_seq.spawn(1)
    return type(bit_generator), child.entropy, child.spawn_key


def _numbers(chunks: Chunks) -> Iterator[int]:
    for chunk in chunks:
        yield from range(chunk.start, chunk.stop)


def _monte_carlo_pi(
    nogil: bool,
    kind: type[np.random.BitGenerator],
    entropy: Any,
    key: tuple[int, ...],
    samples: int,
    parts: int,
    numbers: Iterable[int],
) -> int:
    loop = entry_point("monte_carlo_pi", nogil)
    hits = 0
    for number in numbers:
        # SeedSequence.spawn would have to make all children before this one.
        stream = kind(np.random.SeedSequence(entropy, spawn_key=(*key, number)))
        hits += loop(stream, samples * (number + 1) // parts - samples * number // parts)
    return hits


def _bytecode(samples: int, rng: object = None) -> Loop:
    """Return the loop that draws points and counts hits."""

    def loop(start: int, stop: int) -> int:
        draw, hits = random.Random(start).random, 0  # noqa: S311  no secret depends on it
        for _ in range(start, stop):
            x, y = draw(), draw()
            hits += x * x + y * y < 1
        return hits

    return loop, min(samples, 200_000)


def _workload(_: NDArray[Any] | None = None, quick: bool = False) -> tuple[Any, ...]:
    return 7_000_000 if quick else 20_000_000, 20


KERNEL = Kernel(monte_carlo_pi, _bytecode, _workload, takes_array=False)
