"""What the gateway counts, and the frozen picture of it that others read.

Invariant: accepted = held + active + everything refused + everything ended.
"""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from gateway.histogram import DURATION_BOUNDS_S, WAIT_BOUNDS_S, Distribution, Histogram
from gateway.reasons import Ending, Refusal

TERMS_MAX = 16  # of which the cuts are told apart; older terms remain in the sum
INSTANCES_MAX = 64  # told apart; all later ones are OTHERS
OTHERS = "others"
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
      cut_by_term: the same by the term of the route that ended them, of the last terms.
      drained_by_term: those of them that were waited for, and ended between two requests.
      dial_failures: refused, timed out or broken dials.
      failed_dials: the same by instance.
      bytes_up, bytes_down: delivered to upstreams, to clients.
      bytes_up_by, bytes_down_by: the same by instance.
      sessions: by instance, of the present route.
      term: of the present route; None before the first.
      durations_s: of sessions that are over, from accept to their end.
      waits_s: of sessions, from accept until they were relayed.
      dials_s: of dials that were answered, TLS included.
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
    dials_s: Distribution = NO_WAITS
    cut_by_term: Mapping[str, int] = MappingProxyType({})
    failed_dials: Mapping[str, int] = MappingProxyType({})
    drained_by_term: Mapping[str, int] = MappingProxyType({})
    bytes_up_by: Mapping[str, int] = MappingProxyType({})
    bytes_down_by: Mapping[str, int] = MappingProxyType({})


NOTHING = Counters(0, 0, 0, {}, {}, 0, 0, 0, 0, {}, None)


def _summed(first: Mapping[str, int], second: Mapping[str, int]) -> Mapping[str, int]:
    return MappingProxyType({k: first.get(k, 0) + second.get(k, 0) for k in {**first, **second}})


def _latest(by_term: Mapping[str, int]) -> Mapping[str, int]:
    terms = sorted(by_term, key=int)[-TERMS_MAX:]
    return MappingProxyType({term: by_term[term] for term in terms})


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
        dials_s=first.dials_s.plus(second.dials_s),
        cut_by_term=_latest(_summed(first.cut_by_term, second.cut_by_term)),
        failed_dials=_summed(first.failed_dials, second.failed_dials),
        drained_by_term=_latest(_summed(first.drained_by_term, second.drained_by_term)),
        bytes_up_by=_summed(first.bytes_up_by, second.bytes_up_by),
        bytes_down_by=_summed(first.bytes_down_by, second.bytes_down_by),
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


def known(instance: str, by: Mapping[str, int]) -> str:
    """Its name, or OTHERS when there are too many to be told apart."""
    return instance if instance in by or len(by) < INSTANCES_MAX else OTHERS


class Relayed:
    """Bytes by instance: delivered to it (`up`), and from it to clients (`down`)."""

    __slots__ = ("down", "up")

    def __init__(self) -> None:
        self.up: dict[str, int] = {}
        self.down: dict[str, int] = {}

    def add(self, instance: str, up: int, down: int) -> None:
        """Of one session."""
        name = known(instance, self.up)
        self.up[name] = self.up.get(name, 0) + up
        self.down[name] = self.down.get(name, 0) + down

    def plus(self, other: "Relayed") -> "Relayed":
        """Both together."""
        total = Relayed()
        for part in (self, other):
            for instance, up in part.up.items():
                total.add(instance, up, part.down[instance])
        return total


class Tally:
    """The running numbers, owned by the desk."""

    def __init__(self) -> None:
        self.accepted = 0
        self.cut = 0
        self.dial_failures = 0
        self.bytes = Relayed()
        self.refused: Counter[Refusal] = Counter()
        self.ended: Counter[Ending] = Counter()
        self.durations_s = Histogram(DURATION_BOUNDS_S)
        self.waits_s = Histogram(WAIT_BOUNDS_S)
        self.dials_s = Histogram(WAIT_BOUNDS_S)
        self.cut_by_term: dict[str, int] = {}
        self.drained_by_term: dict[str, int] = {}
        self.failed_dials: dict[str, int] = {}
        self.term = 0

    def count_cut(self, sessions: int, *, is_drained: bool) -> None:
        """The present route ended so many; a term that ended none has no number."""
        self.cut += sessions
        for by in (self.cut_by_term, self.drained_by_term)[: 1 + is_drained]:
            if sessions:
                term = str(self.term)
                by[term] = by.get(term, 0) + sessions
                while len(by) > TERMS_MAX:
                    del by[min(by, key=int)]

    def count_failed_dial(self, instance: str) -> None:
        """A dial of this instance failed."""
        self.dial_failures += 1
        name = known(instance, self.failed_dials)
        self.failed_dials[name] = self.failed_dials.get(name, 0) + 1

    def counters(
        self,
        *,
        active: int,
        held: int,
        sessions: Mapping[str, int],
        running: Relayed,
        term: int | None,
    ) -> Counters:
        """The present numbers, with those of what is open now."""
        relayed = running.plus(self.bytes)
        return Counters(
            accepted=self.accepted,
            active=active,
            held=held,
            refused=MappingProxyType({reason.value: n for reason, n in self.refused.items()}),
            ended=MappingProxyType({reason.value: n for reason, n in self.ended.items()}),
            cut=self.cut,
            dial_failures=self.dial_failures,
            bytes_up=sum(relayed.up.values()),
            bytes_down=sum(relayed.down.values()),
            sessions=MappingProxyType(sessions),
            term=term,
            durations_s=self.durations_s.frozen(),
            waits_s=self.waits_s.frozen(),
            dials_s=self.dials_s.frozen(),
            cut_by_term=MappingProxyType(dict(self.cut_by_term)),
            failed_dials=MappingProxyType(dict(self.failed_dials)),
            drained_by_term=MappingProxyType(dict(self.drained_by_term)),
            bytes_up_by=MappingProxyType(relayed.up),
            bytes_down_by=MappingProxyType(relayed.down),
        )
