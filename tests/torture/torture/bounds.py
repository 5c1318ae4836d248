"""What N rounds say about a rate. Pure."""

import math


def upper_bound(failures: int, rounds: int, confidence: float = 0.95) -> float:
    """The one-sided Clopper-Pearson bound: the largest rate at which so few failures are not yet
    less likely than `1 - confidence`. Without failures it is about 3 / rounds.

    Returns a probability; 1.0 when there were no rounds or nothing but failures.
    """
    if rounds <= 0 or failures >= rounds:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):  # halves the interval each time: far below any rounding
        middle = (low + high) / 2
        if _at_most(failures, rounds, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(failures: int, rounds: int, rate: float) -> float:
    """The probability of so few failures at that rate."""
    if rate <= 0.0:
        return 1.0
    if rate >= 1.0:
        return 0.0
    return math.fsum(
        math.exp(
            math.lgamma(rounds + 1)
            - math.lgamma(k + 1)
            - math.lgamma(rounds - k + 1)
            + k * math.log(rate)
            + (rounds - k) * math.log1p(-rate)
        )
        for k in range(failures + 1)
    )
