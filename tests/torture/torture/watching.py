"""What is watched all the time while faults are done: the ledger's stored lines, and whom open
gateways serve.

Promise: a line of the ledger that was seen once never changes and never goes, except where a fault
of ours did it; two mains that are served at one moment are noticed when that lasts for two looks.
"""

import json
from collections.abc import Mapping
from typing import Any

import trio
from attrs import define, field

from controller.sandbox.demo.served import ServedMains
from controller.sandbox.world import Sandbox

LEDGER_LOOK_S = 0.05
SERVED_LOOK_S = 0.2


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
    served: ServedMains = field(init=False)

    @served.default
    def _looks_at_gateways(self) -> ServedMains:
        return ServedMains(self.sandbox, SERVED_LOOK_S)

    async def run(self) -> None:
        """Both watches."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_ledger)
            nursery.start_soon(self.served.run)

    async def _run_ledger(self) -> None:
        while True:
            self.ledger.look(self.sandbox.ledger())
            await trio.sleep(LEDGER_LOOK_S)
