"""What is watched all the time while faults are done: the ledger's stored lines, and whom open
gateways serve.

Promise: a line of the ledger that was seen once never changes and never goes, except where a fault
of ours did it; two mains that are served at one moment are noticed when that lasts for two looks.
"""

import json
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

import trio
from attrs import define, field

from controller.sandbox.world import Sandbox

LEDGER_LOOK_S = 0.05
SERVED_LOOK_S = 0.2
HTTP_S = 2.0


@define(eq=False)
class LedgerBook:
    """Every line that was ever stored. `is_edited`: a hand edit of ours is being repaired, and
    what stands there meanwhile proves nothing."""

    lines: dict[str, str] = field(factory=dict)
    is_edited: bool = False
    problems: list[str] = field(factory=list)

    def look(self, stored: Mapping[str, str]) -> None:
        """Take what is stored now."""
        if self.is_edited:
            return
        for key in filter(str.isdecimal, stored):
            known = self.lines.setdefault(key, stored[key])
            if known != stored[key]:
                self._tell(f"entry {key} of the ledger was rewritten")
        last = max((k for k in stored if k.isdecimal()), default="")
        if last < max(self.lines, default=""):
            self._tell(f"the ledger fell back from {max(self.lines)} to {last or 'nothing'}")

    def _tell(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The lines as documents, in order."""
        return [json.loads(self.lines[key]) for key in sorted(self.lines)]


@define(eq=False)
class Watcher:
    """Looks at a sandbox until cancelled."""

    sandbox: Sandbox
    ledger: LedgerBook = field(factory=LedgerBook)
    mains_served: int = 0
    looks: int = 0
    served_twice: list[str] = field(factory=list)

    async def run(self) -> None:
        """Both watches."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_ledger)
            nursery.start_soon(self._run_served)

    async def _run_ledger(self) -> None:
        while True:
            self.ledger.look(self.sandbox.ledger())
            await trio.sleep(LEDGER_LOOK_S)

    async def _run_served(self) -> None:
        """Two rounds: a pod that says the same before and after all others have answered said it
        at that moment, too."""
        before: dict[str, frozenset[str]] = {}
        while True:
            now = await self._served()
            steady = [now[pod] & before.get(pod, frozenset()) for pod in now]
            mains = frozenset[str]().union(*steady)
            self.looks += 1
            self.mains_served = max(self.mains_served, len(mains))
            if len(mains) > 1:
                self.served_twice.append(f"at {time.time():.3f}: {now} after {before}")
            before = now
            await trio.sleep(SERVED_LOOK_S)

    async def _served(self) -> dict[str, frozenset[str]]:
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
