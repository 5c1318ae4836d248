"""What the gateway counts, and the frozen picture of it that others read.

Invariant: accepted = held + active + everything refused + everything ended.
"""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from gateway.histogram import DURATION_BOUNDS_S, WAIT_BOUNDS_S, Distribution, Histogram
from gateway.reasons import Ending, Refusal

NO_DURATIONS = Distribution.empty(DURATION_BOUNDS_S)
NO_WAITS = Distribution.empty(WAIT_BOUNDS_S)


@attrs.frozen
class Counters:
    """One moment of a gateway.

    Attributes:
      accepted: connections taken from the kernel, those refused at once included.
      active: greeting, dialling, waiting for the verifier, or relayed.
      held: waiting for an upstream.
      refused, ended: by reason; a refused client never had a byte relayed.
      cut: sessions that routes have ended, drained ones included, since the start.
      dial_failures: refused, timed out or broken dials.
      bytes_up, bytes_down: delivered to upstreams, to clients.
      sessions: by instance, of the present route.
      term: of the present route; None before the first.
      durations_s: of sessions that are over, from accept to their end.
      waits_s: of sessions, from accept until they were relayed.
    """

    accepted: int
    active: int
    held: int
    refused: Mapping[str, int]
    ended: Mapping[str, int]
    cut: int
    dial_failures: int
    bytes_up: int
    bytes_down: int
    sessions: Mapping[str, int]
    term: int | None
    durations_s: Distribution = NO_DURATIONS
    waits_s: Distribution = NO_WAITS


NOTHING = Counters(0, 0, 0, {}, {}, 0, 0, 0, 0, {}, None)


def _summed(first: Mapping[str, int], second: Mapping[str, int]) -> Mapping[str, int]:
    return MappingProxyType({k: first.get(k, 0) + second.get(k, 0) for k in {**first, **second}})


def together(first: Counters, second: Counters) -> Counters:
    """Two workers of one gateway, or two lives of one worker, as one."""
    terms = [term for term in (first.term, second.term) if term is not None]
    return Counters(
        accepted=first.accepted + second.accepted,
        active=first.active + second.active,
        held=first.held + second.held,
        refused=_summed(first.refused, second.refused),
        ended=_summed(first.ended, second.ended),
        cut=first.cut + second.cut,
        dial_failures=first.dial_failures + second.dial_failures,
        bytes_up=first.bytes_up + second.bytes_up,
        bytes_down=first.bytes_down + second.bytes_down,
        sessions=_summed(first.sessions, second.sessions),
        term=max(terms, default=None),
        durations_s=first.durations_s.plus(second.durations_s),
        waits_s=first.waits_s.plus(second.waits_s),
    )


def lost(last: Counters) -> Counters:
    """What remains of a worker that is gone: nothing is open, and nobody is forgotten."""
    ended, refused = dict(last.ended), dict(last.refused)
    relayed = min(sum(last.sessions.values()), last.active)
    waiting = last.active - relayed + last.held
    if relayed:
        ended[Ending.WORKER_LOST.value] = ended.get(Ending.WORKER_LOST.value, 0) + relayed
    if waiting:
        refused[Refusal.WORKER_LOST.value] = refused.get(Refusal.WORKER_LOST.value, 0) + waiting
    closed = attrs.evolve(last, active=0, held=0, sessions=MappingProxyType({}), term=None)
    return attrs.evolve(closed, ended=MappingProxyType(ended), refused=MappingProxyType(refused))


class Tally:
    """The running numbers, owned by the desk."""

    def __init__(self) -> None:
        self.accepted = 0
        self.cut = 0
        self.dial_failures = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self.refused: Counter[Refusal] = Counter()
        self.ended: Counter[Ending] = Counter()
        self.durations_s = Histogram(DURATION_BOUNDS_S)
        self.waits_s = Histogram(WAIT_BOUNDS_S)

    def frozen_refused(self) -> Mapping[str, int]:
        """Refusals by the reason's text."""
        return MappingProxyType({reason.value: n for reason, n in self.refused.items()})

    def frozen_ended(self) -> Mapping[str, int]:
        """Endings by the reason's text."""
        return MappingProxyType({reason.value: n for reason, n in self.ended.items()})
