"""Whether a history of one register could have happened one operation after the other. Pure.

Promise: exact for registers whose writes all carry different values. An operation takes effect at
one moment between its begin and its end; a write of unknown outcome at one moment after its begin,
or never; one that was refused never. Source: Wing and Gong 1993, in the just-in-time form of Lowe
2017: configurations are carried through the history, and an operation is made to take effect only
when somebody's return demands it.
"""

import math
from collections.abc import Iterable, Sequence

from attrs import frozen

Value = int | str | None


@frozen
class Op:
    """One operation of a client. Times are seconds of one monotonic clock; an `end_s` of infinity
    is an outcome that nobody knows. `value`: what was written, or what was read."""

    client: str
    is_write: bool
    value: Value
    begin_s: float
    end_s: float = math.inf

    def __str__(self) -> str:
        word = "writes" if self.is_write else "reads"
        end = "?" if math.isinf(self.end_s) else f"{self.end_s:.3f}"
        return f"{self.client} {word} {self.value!r} [{self.begin_s:.3f} .. {end}]"


@frozen
class Config:
    """A way in which the history so far could have happened: the register's value, and which of
    the open operations took effect already."""

    value: Value
    done: frozenset[int]


def first_contradiction(ops: Sequence[Op], initial: Value = None) -> Op | None:
    """The first operation whose return no order of the earlier ones explains; None: linearizable.

    Raises:
        ValueError: two writes of the same value, which this check is not exact for.
    """
    kept = _worth_ordering(ops)
    # At equal times begins come first: then the two are concurrent, which permits more.
    moments = [(op.begin_s, 0, number) for number, op in enumerate(kept)]
    moments += [(op.end_s, 1, n) for n, op in enumerate(kept) if not math.isinf(op.end_s)]
    open_: set[int] = set()
    configs = {Config(initial, frozenset())}
    for _, is_return, number in sorted(moments):
        if not is_return:
            open_.add(number)
            continue
        configs = _returned(kept, open_, configs, number)
        if not configs:
            return kept[number]
        open_.discard(number)
    return None


def _worth_ordering(ops: Iterable[Op]) -> list[Op]:
    """Without reads that never returned, and without writes of unknown outcome that nobody read:
    taking such a write out of a valid order leaves a valid order."""
    ops = list(ops)
    written = [op.value for op in ops if op.is_write]
    if len(set(written)) != len(written):
        raise ValueError("two writes carry the same value")
    read = {op.value for op in ops if not op.is_write and not math.isinf(op.end_s)}
    return [op for op in ops if not math.isinf(op.end_s) or (op.is_write and op.value in read)]


def _returned(ops: Sequence[Op], open_: set[int], configs: set[Config], number: int) -> set[Config]:
    """The configurations in which operation `number` has taken effect, reached from these by
    letting open operations take effect in every order."""
    reached, found, waiting = set(configs), set[Config](), list(configs)
    while waiting:
        config = waiting.pop()
        if number in config.done:
            found.add(Config(config.value, config.done - {number}))
            continue
        for other in open_ - config.done:
            after = _effect(config, ops[other], other)
            if after is not None and after not in reached:
                reached.add(after)
                waiting.append(after)
    return found


def _effect(config: Config, op: Op, number: int) -> Config | None:
    if op.is_write:
        return Config(op.value, config.done | {number})
    return Config(config.value, config.done | {number}) if op.value == config.value else None
