"""The upstreams of the present route: how loaded each is, and which one is next.

An upstream whose dial failed is set aside; after a pause *one* client tries it again, and only
when that one was taken do the others follow. So a dead upstream costs one dial per pause, not one
per waiting client.
"""

from collections.abc import Iterable

import attrs

from gateway.route import Upstream, UpstreamKey

RETRY_S = 0.05  # the only upstream: a process that is just coming up is found quickly
ON_TRIAL = float("inf")  # one client is trying; nobody else until that is answered
RETRY_WITH_OTHERS_S = 1.0  # others serve meanwhile; each trial may cost a client its time


@attrs.define(eq=False)
class Target:
    """An upstream with what we know of it. `retry_at_s` is None while it takes dials."""

    upstream: Upstream
    sessions: int = 0
    retry_at_s: float | None = None


class Targets:
    """Chooses by fewest sessions among those that take dials."""

    def __init__(self) -> None:
        self._targets: dict[UpstreamKey, Target] = {}

    def follow(self, upstreams: Iterable[Upstream]) -> None:
        """Know exactly these from now on; what stays keeps its numbers."""
        known, self._targets = self._targets, {}
        for upstream in upstreams:
            target = known.get(upstream.key) or Target(upstream)
            target.upstream = upstream
            self._targets[upstream.key] = target

    def has_choice(self, now_s: float) -> bool:
        """Whether `choose` would find one."""
        return any(t.retry_at_s is None or now_s >= t.retry_at_s for t in self._targets.values())

    def choose(self, now_s: float) -> Target | None:
        """Where the next client goes: one whose pause is over (as its only trial), else the one
        with fewest sessions, else None."""
        ready: list[Target] = []
        for target in self._targets.values():
            if target.retry_at_s is None:
                ready.append(target)
            elif now_s >= target.retry_at_s:
                target.retry_at_s = ON_TRIAL
                return target
        return min(ready, key=lambda target: target.sessions, default=None)

    def failed(self, target: Target, now_s: float) -> None:
        """A dial was refused, timed out, or broke before its first byte."""
        alone = len(self._targets) == 1
        target.retry_at_s = now_s + (RETRY_S if alone else RETRY_WITH_OTHERS_S)

    def answered(self, target: Target) -> None:
        """It took a connection: it is like the others again."""
        target.retry_at_s = None

    def unanswered(self, target: Target, now_s: float) -> None:
        """A trial ended without an answer (its client left): the next one may try at once."""
        if target.retry_at_s == ON_TRIAL:
            target.retry_at_s = now_s

    def sessions(self) -> dict[str, int]:
        """Sessions by instance, dials included."""
        return {t.upstream.instance: t.sessions for t in self._targets.values()}
