"""How often something may be announced: token buckets, and like things together.

Promise: never more than `BURST` requests at once and one in `REFILL_S` on average, whatever
happens; what is told again and again becomes a count at what was told before. Precedent: the event
correlator of client-go, with the same kind of limits.
"""

from collections import OrderedDict

from attrs import define, field

BURST, REFILL_S = 25.0, 5.0  # of all requests: an hour of trouble is 745 of them at most
KIND_BURST, KIND_REFILL_S = 5.0, 60.0  # of new objects for one reason at one object
TOGETHER_S = 600.0  # the same within this time is told as "again"
REMEMBERED_MAX = 256


@define(eq=False)
class Bucket:
    """Holds up to `size` tokens; one more each `refill_s` seconds."""

    size: float
    refill_s: float
    _level: float = field(init=False)
    _at_s: float = field(init=False, default=float("-inf"))

    def __attrs_post_init__(self) -> None:
        self._level = self.size

    def take(self, now_s: float) -> bool:
        """Whether there was a token."""
        gained = (now_s - self._at_s) / self.refill_s
        self._level = min(self.size, self._level + max(0.0, gained))
        self._at_s = now_s
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True


@define(eq=False)
class Told:
    """What stands at one object for one reason. `name` is the last announcement's; `count` how
    often it was told; `unlike`: how many of those had another text."""

    bucket: Bucket
    name: str = ""
    text: str = ""
    count: int = 0
    unlike: int = 0
    at_s: float = float("-inf")


class Sieve:
    """Owned by the announcer."""

    def __init__(self) -> None:
        self._all = Bucket(BURST, REFILL_S)
        self._told: OrderedDict[tuple[str, str], Told] = OrderedDict()

    def may_send(self, now_s: float) -> bool:
        """Whether one more request may be sent now."""
        return self._all.take(now_s)

    def about(self, where: str, reason: str) -> Told:
        """What was told for this reason at this object; the oldest of all is forgotten when there
        is too much to remember."""
        key = (where, reason)
        found = self._told.setdefault(key, Told(Bucket(KIND_BURST, KIND_REFILL_S)))
        self._told.move_to_end(key)
        if len(self._told) > REMEMBERED_MAX:
            self._told.popitem(last=False)
        return found


def is_new(told: Told, text: str, now_s: float) -> bool:
    """Whether this is to be an announcement of its own: it was never told, or long ago, or it says
    something else and there are not too many of its kind."""
    if not told.name or now_s - told.at_s > TOGETHER_S:
        return True
    return text != told.text and told.bucket.take(now_s)
