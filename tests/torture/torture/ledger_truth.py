"""What the ledger said of each change of main, taken from its lines alone. Pure.

Promise: the verdict that counts for a change is the last one that stood while its main reigned: it
is amended when the old main comes back and is refused.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import evolve as altered
from attrs import frozen

from statemachine.cluster import Cluster
from statemachine.codec import LedgerCorrupt, decode
from statemachine.evolve import evolve
from statemachine.ledger import Ledger, fold, fold_lines

NONE = "none"
ONE_EACH = "at most 1 transaction a writer"
BEGINNINGS = ("main_lost", "switchover_started", "renewal_started", "failover_forced")


@frozen
class Change:
    """One change of main, renewals included. Wall seconds. `verdict`: the last that stood."""

    seq: int
    begun_on: str
    begun_s: float
    promoted_s: float
    old: str
    new: str
    verdict: str

    @property
    def is_failover(self) -> bool:
        """Whether it was not planned."""
        return self.begun_on in ("main_lost", "failover_forced")


def wall_s(entry: Mapping[str, Any]) -> float:
    """When an entry was written."""
    return datetime.fromisoformat(str(entry["at"]).replace("Z", "+00:00")).timestamp()


def changes_of(lines: Mapping[str, str]) -> list[Change]:
    """Every change of main that was carried through. Raises LedgerCorrupt."""
    cluster, found = Cluster(), list[Change]()
    begun: dict[str, Any] | None = None
    for key in sorted(lines):
        entry, old = json.loads(lines[key]), cluster.main
        cluster = evolve(cluster, decode(lines[key]).event)
        if entry["on"] in BEGINNINGS:
            begun = begun if begun and entry["from"] == "FAILOVER" else entry
        if entry["on"] == "main_promoted" and begun is not None:
            on, at = str(begun["on"]), wall_s(begun)
            new = str(cluster.main)
            found.append(Change(entry["seq"], on, at, wall_s(entry), str(old), new, ""))
            begun = None
        if found:
            found[-1] = altered(found[-1], verdict=cluster.verdict)
    return found


def trouble_with(lines: Mapping[str, str], stored: Mapping[str, str]) -> str:
    """Why all lines since the first are no ledger, or what is stored now (whose older lines may be
    in archives) is none; "" when both verify."""
    try:
        fold_lines(Ledger(), lines)
        fold(stored)
    except LedgerCorrupt as error:
        return str(error)
    return ""
