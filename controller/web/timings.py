"""Changes of main as the ledger tells them, with the time that each step took.

Promise: only lines of the verified ledger are read, and a line that cannot be read is passed over.
Times are wall times of the leaders that wrote them, good to some milliseconds within one reign.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve, frozen

from controller.entries import between_s

UNPLANNED = "main_lost"


@frozen
class Change:
    """One way through FAILOVER. `fenced_at` and `promoted_at` are "" until that happened."""

    seq: int
    trigger: str
    why: str
    term: int
    old_main: str
    new_main: str
    detected_at: str
    fenced_at: str = ""
    proof: str = ""
    promoted_at: str = ""
    verdict: str = ""

    @property
    def is_failover(self) -> bool:
        """Unplanned, not a renewal."""
        return self.trigger == UNPLANNED

    @property
    def fenced_after_s(self) -> float | None:
        """From the decision to the fence."""
        return between_s(self.detected_at, self.fenced_at)

    @property
    def promoted_after_s(self) -> float | None:
        """From the decision to the new main; the ledger opens the route in the same event."""
        return between_s(self.detected_at, self.promoted_at)


def changes(lines: Iterable[str]) -> tuple[Change, ...]:
    """All changes of main in these lines, oldest first; the last one may still be under way."""
    found: list[Change] = []
    main = ""
    for entry in _entries(lines):
        main = _take(found, entry, main)
    return tuple(found)


def _take(found: list[Change], entry: Mapping[str, Any], main: str) -> str:
    """Add the entry to the changes; returns the main after it."""
    data = entry.get("data", {})
    if entry["to"] == "FAILOVER" and entry["from"] != "FAILOVER":
        found.append(
            Change(
                seq=entry["seq"],
                trigger=entry["on"],
                why=entry.get("why", ""),
                term=entry["term"],
                old_main=main,
                new_main=data.get("candidate") or main,
                detected_at=entry["at"],
            )
        )
    elif found and entry["from"] == "FAILOVER":
        found[-1] = _step(found[-1], entry, data)
    return entry.get("main") or main


def _step(change: Change, entry: Mapping[str, Any], data: Mapping[str, Any]) -> Change:
    at = entry["at"]
    match entry["on"]:
        case "main_fenced":
            return evolve(change, fenced_at=at, proof=data.get("proof", ""))
        case "candidate_lost":
            candidate = data.get("candidate") or change.new_main
            return evolve(change, new_main=candidate, term=entry["term"], fenced_at="", proof="")
        case "main_promoted":
            verdict = data.get("verdict", "")
            new_main = data.get("main", change.new_main)
            return evolve(change, promoted_at=at, verdict=verdict, new_main=new_main)
        case _:
            return change


def _entries(lines: Iterable[str]) -> Iterable[Mapping[str, Any]]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and {"seq", "at", "from", "to", "on", "term"} <= entry.keys():
            yield entry
