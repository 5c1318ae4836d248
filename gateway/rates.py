"""A token bucket for each client address: how many new sessions one address may open.

Invariant: at most `ADDRESSES_MAX` addresses are remembered; who was seen longest ago is forgotten
first, and begins with a full bucket again. So an attacker with many addresses costs no memory,
and is bounded by the gateway's other limits.
"""

from collections import OrderedDict

ADDRESSES_MAX = 10_000


class Rates:
    """Owned by the desk. Rates in clients per second, burst in clients."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, seen at

    def may_enter(self, address: str, now_s: float) -> bool:
        """Take a token of this address; False when it has none."""
        tokens, seen_at_s = self._buckets.pop(address, (self._burst, now_s))
        tokens = min(self._burst, tokens + (now_s - seen_at_s) * self._rate_per_s)
        is_allowed = tokens >= 1
        self._buckets[address] = (tokens - 1 if is_allowed else tokens, now_s)
        if len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)
        return is_allowed
