"""The book: every outcome that the clients told, and what follows from it. Pure.

Times are wall seconds of one machine.
"""

import itertools
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import define, field, frozen

from statemachine.codec import LedgerCorrupt
from statemachine.ledger import fold

WRONG_ROLE = ("forbidden on the replica", "not main anymore")


@define(eq=False)
class Book:
    """Owned by the task that reads the clients' lines."""

    acked: dict[str, float] = field(factory=dict)
    refused: dict[str, str] = field(factory=dict)
    unknown: set[str] = field(factory=set)
    reads_at: list[float] = field(factory=list)
    intruded: int = 0  # writes that were accepted through the read-only gateway
    wrong_role: list[str] = field(factory=list)  # such errors through the read/write gateway
    errors: dict[str, int] = field(factory=dict)

    def take(self, line: Mapping[str, Any]) -> None:
        """One line of a client."""
        kind, outcome, identity = line["kind"], line["outcome"], line["id"]
        if kind == "read":
            if outcome == "acked":
                self.reads_at.append(line["at"])
        elif kind == "intrude":
            self.intruded += outcome == "acked"
        elif outcome == "acked":
            self.acked[identity] = line["at"]
        elif outcome == "refused":
            self.refused[identity] = line["error"]
        else:
            self.unknown.add(identity)
        if kind == "write" and outcome != "acked":
            self._note_error(line["error"])

    def _note_error(self, text: str) -> None:
        if any(sign in text for sign in WRONG_ROLE):
            self.wrong_role.append(text)
        short = text[:80]
        self.errors[short] = self.errors.get(short, 0) + 1


@frozen
class Gap:
    """Time without a success."""

    begin: float
    end: float

    @property
    def ms(self) -> int:
        """Its length in milliseconds."""
        return round((self.end - self.begin) * 1000)


def longest_gap(times: Iterable[float], begin: float, end: float) -> Gap:
    """The longest time without a success between `begin` and `end`."""
    inside = sorted(t for t in times if begin <= t <= end)
    edges = [begin, *inside, end]
    gaps = (Gap(a, b) for a, b in itertools.pairwise(edges))
    return max(gaps, key=lambda gap: gap.end - gap.begin)


def wall_s(entry: Mapping[str, Any]) -> float:
    """When an entry was written."""
    return datetime.fromisoformat(str(entry["at"]).replace("Z", "+00:00")).timestamp()


@frozen
class Fault:
    """One fault, as the demo did it. Milliseconds since the injection; None: did not happen."""

    name: str
    round: int
    target: str
    detect_ms: int | None
    fence_ms: int | None
    promote_ms: int | None
    first_write_ms: int | None
    operational_ms: int | None
    write_gap_ms: int
    read_gap_ms: int
    refused: int = 0  # instances whose data the new main did not accept

    @property
    def detected_to_write_ms(self) -> int | None:
        """From detection to the first acknowledged write."""
        if self.detect_ms is None or self.first_write_ms is None:
            return None
        return self.first_write_ms - self.detect_ms

    @property
    def acknowledged_ms(self) -> int | None:
        """From detection until every gateway has cut and acknowledged."""
        if self.detect_ms is None or self.fence_ms is None:
            return None
        return self.fence_ms - self.detect_ms


DETECTED = ("main_lost", "sync_lost", "renewal_started", "switchover_started")


def measure(
    name: str,
    number: int,
    target: str,
    begin: float,
    end: float,
    book: Book,
    entries: Sequence[Mapping[str, Any]],
) -> Fault:
    """What the fault that was injected at `begin` did until `end`, by ledger and book."""
    mine = [e for e in entries if begin <= wall_s(e) <= end]

    def first(*triggers: str, after: float = begin) -> float | None:
        found = (wall_s(e) for e in mine if e["on"] in triggers and wall_s(e) >= after)
        return next(found, None)

    detected = first(*DETECTED)
    promoted = first("main_promoted", after=detected or end)
    back = [wall_s(e) for e in mine if e["to"] == "OPERATIONAL" and e["from"] != "OPERATIONAL"]
    gap = longest_gap(book.acked.values(), begin, end)
    writes = sorted(t for t in book.acked.values() if begin <= t <= end)
    written = next((t for t in writes if promoted is not None and t >= promoted), None)

    def since(at: float | None) -> int | None:
        return None if at is None else round((at - begin) * 1000)

    return Fault(
        name=name,
        round=number,
        target=target,
        detect_ms=since(detected),
        fence_ms=since(first("main_fenced", after=detected or end)),
        promote_ms=since(promoted),
        first_write_ms=since(written),
        operational_ms=since(back[0] if back else None),
        write_gap_ms=gap.ms,
        read_gap_ms=longest_gap(book.reads_at, begin, end).ms,
        refused=sum(e["on"] == "instance_refused" for e in mine),
    )


@frozen
class Renewal:
    """One renewal of the main's epoch, from its first event to the promotion, and the longest time
    without an acknowledged write around it."""

    why: str
    took_ms: int
    write_gap_ms: int


AROUND_S = 0.5  # writes before and after belong to the gap that clients feel


def renewals(book: Book, entries: Sequence[Mapping[str, Any]]) -> list[Renewal]:
    """Every renewal that was carried through, by ledger and book."""
    found, begun = [], None
    for entry in entries:
        if entry["on"] == "renewal_started":
            begun = entry
        elif entry["on"] == "candidate_lost":
            begun = None
        elif entry["on"] == "main_promoted" and begun is not None:
            begin, end = wall_s(begun), wall_s(entry)
            gap = longest_gap(book.acked.values(), begin - AROUND_S, end + AROUND_S)
            found.append(Renewal(str(begun["why"]), round((end - begin) * 1000), gap.ms))
            begun = None
    return found


@frozen
class Verdict:
    """What the demo found out."""

    lost: Mapping[str, tuple[str, ...]]  # instance -> acknowledged ids that it does not have
    phantom: tuple[str, ...]  # refused ids that exist all the same
    ledger_problem: str
    problems: tuple[str, ...]

    @property
    def lost_writes(self) -> int:
        """Acknowledged writes that some instance does not have."""
        return len({i for ids in self.lost.values() for i in ids})


def check(
    book: Book,
    found: Mapping[str, frozenset[str] | None],
    ledger: Mapping[str, str],
    mains_routed: int,
) -> Verdict:
    """Compare the book with the world. `found`: instance -> ids that stand on it, None when it
    could not be read, which counts as a problem."""
    acked = frozenset(book.acked)
    lost = {i: tuple(sorted(acked - ids)) for i, ids in found.items() if ids is not None}
    present = frozenset[str]().union(*(ids for ids in found.values() if ids is not None))
    phantom = tuple(sorted(frozenset(book.refused) & present))
    problem = ""
    try:
        fold(ledger)
    except LedgerCorrupt as error:
        problem = str(error)
    problems = [f"{i} could not be read" for i, ids in found.items() if ids is None]
    problems += [f"{i} lacks {len(ids)} acknowledged writes" for i, ids in lost.items() if ids]
    if not acked:
        problems.append("no write was acknowledged at all")
    if phantom:
        problems.append(f"{len(phantom)} refused writes exist")
    if book.intruded:
        problems.append(f"{book.intruded} writes were accepted through the read-only gateway")
    if book.wrong_role:
        problems.append(f"{len(book.wrong_role)} writes met an instance that is not the main")
    if mains_routed > 1:
        problems.append(f"{mains_routed} mains were routed to at once")
    if problem:
        problems.append(f"the ledger does not verify: {problem}")
    return Verdict(lost, phantom, problem, tuple(problems))


def medians(faults: Iterable[Fault]) -> dict[str, dict[str, float]]:
    """By fault: the median of each figure that was seen."""
    by_name: dict[str, list[Fault]] = {}
    for fault in faults:
        by_name.setdefault(fault.name, []).append(fault)
    figures = (
        "detect_ms",
        "fence_ms",
        "promote_ms",
        "first_write_ms",
        "operational_ms",
        "write_gap_ms",
        "read_gap_ms",
        "detected_to_write_ms",
        "acknowledged_ms",
    )
    result: dict[str, dict[str, float]] = {}
    for name, group in by_name.items():
        result[name] = {"runs": len(group)}
        for figure in figures:
            seen = [v for f in group if (v := getattr(f, figure)) is not None]
            if seen:
                result[name][figure] = statistics.median(seen)
    return result


def entries_of(ledger: Mapping[str, str]) -> list[dict[str, Any]]:
    """The ledger's entries in order; a snapshot in front of them is none."""
    return [json.loads(ledger[key]) for key in sorted(ledger) if key.isdecimal()]
