"""The linearizability check, on histories of which somebody knows whether they are linearizable."""

import itertools
import math
import random

import pytest
from torture.linear import Op, Value, first_contradiction


def write(client: str, value: Value, begin_s: float, end_s: float = math.inf) -> Op:
    """A write; without an end its outcome is unknown."""
    return Op(client, True, value, begin_s, end_s)


def read(client: str, value: Value, begin_s: float, end_s: float) -> Op:
    """A read that returned."""
    return Op(client, False, value, begin_s, end_s)


GOOD = {
    "nothing": (),
    "one after the other": (write("a", 1, 0, 1), read("b", 1, 2, 3)),
    "a read within a write sees the old": (write("a", 1, 0, 9), read("b", None, 1, 2)),
    "a read within a write sees the new": (write("a", 1, 0, 9), read("b", 1, 1, 2)),
    "two writes at once, either order": (
        write("a", 1, 0, 9),
        write("b", 2, 0, 9),
        read("c", 2, 1, 2),
        read("c", 1, 3, 4),
    ),
    "an unknown write took effect late": (
        write("a", 1, 0),
        write("b", 2, 1, 2),
        read("c", 2, 3, 4),
        read("c", 1, 5, 6),
    ),
    "an unknown write never took effect": (write("a", 1, 0), read("c", None, 5, 6)),
    "they touch": (write("a", 1, 0, 1), read("b", None, 1, 2)),
}
BAD = {
    "a lost write": (write("a", 1, 0, 1), read("b", None, 2, 3)),
    "a write that nobody wrote": (read("b", 7, 2, 3),),
    "back to the old": (
        write("a", 1, 0, 9),
        read("b", 1, 1, 2),
        read("c", None, 3, 4),
    ),
    "two readers, two orders": (
        write("a", 1, 0, 9),
        write("b", 2, 0, 9),
        read("c", 1, 1, 2),
        read("c", 2, 3, 4),
        read("d", 1, 5, 6),
    ),
    "a write from before comes back": (
        write("a", 1, 0, 1),
        write("a", 2, 2, 3),
        read("b", 1, 4, 5),
    ),
    "an unknown write took effect, and then not": (
        write("a", 1, 0),
        read("b", 1, 1, 2),
        read("b", None, 3, 4),
    ),
    "an unknown write took effect before it began": (read("b", 1, 0, 1), write("a", 1, 2)),
}


@pytest.mark.parametrize("name", GOOD)
def test_linearizable_histories_pass(name: str) -> None:
    """There is an order that explains every answer."""
    assert first_contradiction(GOOD[name]) is None


@pytest.mark.parametrize("name", BAD)
def test_others_are_contradicted(name: str) -> None:
    """No order explains every answer; the operation that is named is one of the history."""
    assert first_contradiction(BAD[name]) in BAD[name]


def by_trying_all(ops: tuple[Op, ...]) -> bool:
    """The definition itself: some order of the known operations, with any of the unknown writes in
    it, respects real time and gives every read what was written last."""
    known = [op for op in ops if not math.isinf(op.end_s)]
    unknown = [op for op in ops if math.isinf(op.end_s)]
    for count in range(len(unknown) + 1):
        for some in itertools.combinations(unknown, count):
            if any(map(is_order, itertools.permutations([*known, *some]))):
                return True
    return False


def is_order(order: tuple[Op, ...]) -> bool:
    """Whether this sequence is legal."""
    value: Value = None
    for number, op in enumerate(order):
        if any(later.end_s < op.begin_s for later in order[number:]):
            return False
        if op.is_write:
            value = op.value
        elif op.value != value:
            return False
    return True


def test_it_agrees_with_the_definition() -> None:
    """On 1500 random small histories, good and bad, with unknown outcomes: the same verdict as by
    trying every order."""
    dice, verdicts = random.Random(5), []
    for _ in range(1500):
        ops = tuple(some_ops(dice))
        wanted = by_trying_all(ops)
        assert (first_contradiction(ops) is None) == wanted, "\n".join(map(str, ops))
        verdicts.append(wanted)
    assert 300 < sum(verdicts) < 1200  # else it agrees about one sort alone


def some_ops(dice: random.Random) -> list[Op]:
    """Up to five operations on a short stretch of time."""
    made = []
    for number in range(dice.randint(2, 5)):
        begin = dice.randint(0, 8)
        end = begin + dice.randint(1, 4)
        if dice.random() < 0.5:
            is_known = dice.random() < 0.6
            made.append(write(f"w{number}", number, begin, end if is_known else math.inf))
        else:
            made.append(read(f"r{number}", dice.choice((None, 0, 1, 2, 3)), begin, end))
    return made


def test_long_histories_take_no_long_time() -> None:
    """Thousands of operations, always four at once, and unknown writes that were read much later:
    done in one pass, where trying orders would never end."""
    ops: list[Op] = []
    for number in range(3000):
        now = 10.0 * number
        is_known = number % 100 != 7
        ops.append(write("w", number, now, now + 9 if is_known else math.inf))
        ops += [read(f"r{n}", number, now + 5, now + 8) for n in range(3)]
    assert first_contradiction(ops) is None
    stale = read("r0", 2000, 29_999.5, 29_999.9)
    assert first_contradiction([*ops, stale]) == stale


def test_two_equal_values_are_refused() -> None:
    """The check is exact for different values alone; it says so and does not guess."""
    with pytest.raises(ValueError, match="same value"):
        first_contradiction([write("a", 1, 0, 1), write("b", 1, 2, 3)])
