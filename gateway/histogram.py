"""Counts by size: cheap to add to, mergeable, and what Prometheus wants of a histogram."""

from bisect import bisect_left

import attrs

DURATION_BOUNDS_S = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86400.0)
WAIT_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)


@attrs.frozen
class Distribution:
    """One moment of a histogram.

    Attributes:
      bounds: upper bounds of the buckets, ascending; a last bucket has none.
      counts: of each bucket, not cumulated; one more than bounds.
      total: sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @classmethod
    def empty(cls, bounds: tuple[float, ...]) -> "Distribution":
        """Without a value."""
        return cls(bounds, (0,) * (len(bounds) + 1), 0.0)

    def plus(self, other: "Distribution") -> "Distribution":
        """Both together; they have the same bounds."""
        assert self.bounds == other.bounds
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Distribution(self.bounds, counts, self.total + other.total)


class Histogram:
    """A running one."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count one value; one equal to a bound is within it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def frozen(self) -> Distribution:
        """The present numbers."""
        return Distribution(self._bounds, tuple(self._counts), self._total)
