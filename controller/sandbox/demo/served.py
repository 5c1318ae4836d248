"""How many mains do open gateways serve at one moment? Asked of every controller pod over HTTP.

Promise: two mains that are served at one moment are noticed when that lasts for two looks; a pod
that changes its answer between them is never taken for two. What a newcomer gets wrong: one round
of answers is no moment. Pods answer one after the other, so a main that was handed over meanwhile
would be seen twice.
"""

import json
import time
import urllib.request
from collections.abc import Mapping

import trio
from attrs import define, field

from controller.sandbox.world import Sandbox

HTTP_S = 2.0

Served = Mapping[str, frozenset[str]]
"""By controller pod: the instances that sessions of its read/write gateway are joined to."""


@define(eq=False)
class ServedMains:
    """Looks every `every_s` seconds until cancelled. `most`: mains at one moment, ever; `twice`:
    each moment with more than one, as text."""

    sandbox: Sandbox
    every_s: float
    most: int = 0
    looks: int = 0
    twice: list[str] = field(factory=list)

    async def run(self) -> None:
        """Two rounds each: a pod that says the same before and after all others have answered
        said it at that moment, too."""
        before: Served = {}
        while True:
            now = await self._ask_all()
            self._note(mains_at_once(before, now), f"at {time.time():.3f}: {now} after {before}")
            before = now
            await trio.sleep(self.every_s)

    def _note(self, mains: frozenset[str], told: str) -> None:
        self.looks += 1
        self.most = max(self.most, len(mains))
        if len(mains) > 1:
            self.twice.append(told)

    async def _ask_all(self) -> Served:
        served: dict[str, frozenset[str]] = {}

        async def ask(pod: str, url: str) -> None:
            served[pod] = await trio.to_thread.run_sync(
                mains_of, f"{url}/api/v1/status", abandon_on_cancel=True
            )

        urls = self.sandbox.card()["http"]
        assert isinstance(urls, dict)
        async with trio.open_nursery() as nursery:
            for pod, url in urls.items():
                nursery.start_soon(ask, pod, url)
        return served


def mains_at_once(before: Served, now: Served) -> frozenset[str]:
    """Those that were certainly served at the moment between two rounds of answers."""
    steady = (now[pod] & before.get(pod, frozenset()) for pod in now)
    return frozenset[str]().union(*steady)


def mains_of(url: str) -> frozenset[str]:
    """The instances that sessions of a pod's read/write gateway are joined to; empty when it does
    not answer."""
    try:
        with urllib.request.urlopen(url, timeout=HTTP_S) as answer:
            document = json.load(answer)
    except (OSError, ValueError):
        return frozenset()
    sessions: Mapping[str, int] = (document["gateways"].get("rw") or {}).get("sessions") or {}
    return frozenset(instance for instance, count in sessions.items() if count)
