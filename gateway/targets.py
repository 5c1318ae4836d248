"""The upstreams of the present route: how loaded each is, and which one is next.

An upstream whose dial failed is set aside; after a pause *one* client tries it again, and only
when that one was taken do the others follow. So a dead upstream costs one dial per pause, not one
per waiting client. One that is new beside others gets its share little by little: its caches are
cold, and all clients at once would only make it the next to fall.
"""

from collections.abc import Iterable

import attrs

from gateway import wire
from gateway.route import Upstream, UpstreamKey

RETRY_S = 0.05  # the only upstream: a process that is just coming up is found quickly
ON_TRIAL = float("inf")  # one client is trying; nobody else until that is answered
RETRY_WITH_OTHERS_S = 1.0  # others serve meanwhile; each trial may cost a client its time
SLOW_START_S = 10.0  # until a newcomer has its whole share
SLOW_START_SHARE_MIN = 0.1


@attrs.define(eq=False)
class Target:
    """An upstream with what we know of it, and the way to it. `retry_at_s` is None while it takes
    dials; `since_s` is when it came beside others, None for one that has its whole share."""

    upstream: Upstream
    key: UpstreamKey
    way: wire.Way
    sessions: int = 0
    retry_at_s: float | None = None
    since_s: float | None = None

    def load(self, now_s: float) -> float:
        """Sessions in relation to its share: one without any is always next."""
        share = self.upstream.weight
        if self.since_s is not None:
            grown = (now_s - self.since_s) / SLOW_START_S
            if grown >= 1:
                self.since_s = None
            share *= min(1.0, max(SLOW_START_SHARE_MIN, grown))
        return self.sessions / share


class Targets:
    """Chooses by fewest sessions among those that take dials."""

    def __init__(self) -> None:
        self._targets: dict[UpstreamKey, Target] = {}

    def follow(self, upstreams: Iterable[Upstream], now_s: float = 0.0) -> None:
        """Know exactly these from now on; what stays keeps its numbers."""
        known, self._targets = self._targets, {}
        for upstream in upstreams:
            target = known.get(upstream.key)
            if target is None:
                way = wire.way_to(upstream.host, upstream.port)
                since_s = now_s if known else None
                target = Target(upstream, upstream.key, way, since_s=since_s)
            elif (upstream.host, upstream.port) != target.way.address:
                target.way = wire.way_to(upstream.host, upstream.port)
            target.upstream = upstream
            self._targets[target.key] = target

    def get(self, key: UpstreamKey) -> Target | None:
        """The one of that incarnation."""
        return self._targets.get(key)

    def has_choice(self, now_s: float) -> bool:
        """Whether `choose` would find one."""
        return any(t.retry_at_s is None or now_s >= t.retry_at_s for t in self._targets.values())

    def choose(self, now_s: float) -> Target | None:
        """Where the next client goes: one whose pause is over (as its only trial), else the one
        with fewest sessions for its weight, else None."""
        if len(self._targets) == 1:
            for target in self._targets.values():
                if target.retry_at_s is None:
                    return target
        ready: list[Target] = []
        for target in self._targets.values():
            if target.retry_at_s is None:
                ready.append(target)
            elif now_s >= target.retry_at_s:
                target.retry_at_s = ON_TRIAL
                return target
        return min(ready, key=lambda target: target.load(now_s), default=None)

    def failed(self, target: Target, now_s: float) -> None:
        """A dial was refused, timed out, or broke before its first byte."""
        alone = len(self._targets) == 1
        target.retry_at_s = now_s + (RETRY_S if alone else RETRY_WITH_OTHERS_S)

    def answered(self, target: Target, now_s: float = 0.0) -> None:
        """It took a connection: it is like the others again, after a slow start."""
        target.retry_at_s = None
        target.since_s = now_s if len(self._targets) > 1 else None

    def unanswered(self, target: Target, now_s: float) -> None:
        """A trial ended without an answer (its client left): the next one may try at once."""
        if target.retry_at_s == ON_TRIAL:
            target.retry_at_s = now_s

    def sessions(self) -> dict[str, int]:
        """Sessions by instance, dials included."""
        return {t.upstream.instance: t.sessions for t in self._targets.values()}
