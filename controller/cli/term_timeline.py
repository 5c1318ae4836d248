"""`history --term`: one change of main as a timeline with durations.

Promise: every time is of an entry; what was not written down is said to be missing. What a newcomer
gets wrong: a change may go through several terms (a candidate died, another controller took over),
and its redundancy may come back in a later one.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen

from controller.cli.exits import NOT_FOUND, Problem
from controller.cli.moments import time_of

Document = dict[str, Any]
SUSPICION = "evidence_lasts"
LASTED = re.compile(r" for (\d+(?:\.\d+)?) s of ")


@frozen
class Step:
    """One line of the timeline. `at` None: not in the ledger, `what` says so."""

    name: str
    seq: int
    at: datetime | None
    what: str


def change_of_term(entries: Sequence[Document], term: int) -> list[Document]:
    """The entries of the change of main that term `term` belongs to, up to its redundancy; where
    none does, those of the term.

    Raises Problem when there is no such term.
    """
    if not any(e["term"] == term for e in entries):
        terms = f"; it has {entries[0]['term']} to {entries[-1]['term']}" if entries else ""
        raise Problem(f"the ledger has no term {term}{terms}", NOT_FOUND)
    for begin, end in changes_in(entries):
        terms_of_change = range(entries[begin]["term"], _settled(entries, begin, end)["term"] + 1)
        if term in terms_of_change:
            return list(entries[begin : end + 1])
    return [e for e in entries if e["term"] == term]


def _settled(entries: Sequence[Document], begin: int, end: int) -> Document:
    """The entry with which the change itself was over, before the wait for redundancy."""
    return next((e for e in entries[begin : end + 1] if e["on"] in OVER), entries[end])


OVER = ("main_promoted", "main_returned")


def changes_in(entries: Sequence[Document]) -> Iterator[tuple[int, int]]:
    """First and last index of each change: from the decision to the first OPERATIONAL after it."""
    begin: int | None = None
    for index, entry in enumerate(entries):
        lost = entry["on"] == "main_lost" or (entry["to"] == "FAILOVER" != entry["from"])
        if lost:
            if begin is not None and entries[index - 1]["to"] != "FAILOVER":
                yield begin, index - 1  # it was never redundant again before the next one
                begin = None
            begin = index if begin is None else begin
        elif begin is not None and entry["to"] == "OPERATIONAL":
            yield begin, index
            begin = None
    if begin is not None:
        yield begin, len(entries) - 1


def steps_of(change: Sequence[Document]) -> list[Step]:
    """Suspected, decided, fenced, promoted, opened, redundant, and all that went wrong between."""
    first = change[0]
    steps = [_suspected(first), Step("decided", first["seq"], time_of(first), _what(first))]
    for entry in change[1:]:
        steps += _steps_of(entry)
    names = {s.name for s in steps}
    for name, text in MISSING.items():
        if name not in names:
            steps.append(Step(name, 0, None, text))
    return steps


MISSING = {
    "fenced": "not in the ledger: no old main was fenced in this change",
    "promoted": "not in the ledger: nobody was promoted",
    "redundant": "not in the ledger: no second copy joined before the next change, or yet",
}


def _what(entry: Document) -> str:
    candidate = entry["data"].get("candidate")
    return f"{entry['on']}: {entry['why']}" + (f"; candidate {candidate}" if candidate else "")


def _suspected(first: Document) -> Step:
    """When the evidence began, by the fact that the guard saw."""
    fact = first["facts"].get(SUSPICION, "")
    found, decided = LASTED.search(fact), time_of(first)
    if found is None or decided is None:
        text = "not in the ledger: planned, or decided without a wait"
        return Step("suspected", 0, None, text)
    began = decided - timedelta(seconds=float(found[1]))
    return Step("suspected", first["seq"], began, fact)


def _steps_of(entry: Document) -> list[Step]:
    seq, at, why, data = entry["seq"], time_of(entry), entry["why"], entry["data"]
    match entry["on"]:
        case "main_fenced":
            gateways = entry["facts"].get("gateways_have_cut", "not in the ledger")
            return [Step("fenced", seq, at, f"by {data['proof']}; gateways: {gateways}")]
        case "main_promoted":
            verdict = f"{data['main']}, loss: {data['verdict'] or 'not said'}"
            is_open = entry["to"] in ("OPERATIONAL", "DEGRADED")
            text = "by the ledger; when each gateway opened is not in it"
            opened = [Step("opened", seq, at, text)] if is_open else []
            return [Step("promoted", seq, at, verdict), *opened, *_redundant(entry)]
        case "main_returned":
            return [Step("returned", seq, at, why), *_redundant(entry)]
        case "sync_joined":
            return _redundant(entry)
        case "leader_elected":
            return [Step("leader", seq, at, why)]
        case "candidate_lost" | "drained" | "drain_abandoned" | "main_lost" | "instance_refused":
            return [Step(entry["on"], seq, at, why)]
        case "decision_refused" | "request_refused" | "would_have":
            return [Step("refused", seq, at, why)]
        case _:
            return []


def _redundant(entry: Document) -> list[Step]:
    if entry["to"] != "OPERATIONAL":
        return []
    who = ", ".join(entry["sync"])
    return [Step("redundant", entry["seq"], time_of(entry), f"{who} hold every acknowledged write")]


def rows_of(steps: Sequence[Step]) -> list[tuple[str, str, str, str, str]]:
    """STEP, ENTRY, AT, AFTER (since the step before, and since the first), WHAT."""
    rows, begun, before = [], None, None
    for step in steps:
        if step.at is None:
            rows.append((step.name, "-", "-", "-", step.what))
            continue
        begun, before = begun or step.at, before or step.at
        after = f"+{(step.at - before).total_seconds():.3f}s"
        total = f"{(step.at - begun).total_seconds():.3f}s"
        shown = step.at.isoformat(timespec="milliseconds")
        rows.append((step.name, str(step.seq), shown, f"{after} ({total})", step.what))
        before = step.at
    return rows


def document_of(term: int, change: Sequence[Document], steps: Sequence[Step]) -> Document:
    """For programs. Times in seconds since the first step that has one."""
    begun = next((s.at for s in steps if s.at is not None), None)
    writers = sorted({e["by"] for e in change})
    return {
        "term": term,
        "entries": [change[0]["seq"], change[-1]["seq"]],
        "written_by": writers,
        "steps": [
            {
                "step": s.name,
                "entry": s.seq or None,
                "at": s.at.isoformat(timespec="milliseconds") if s.at else None,
                "after_s": (s.at - begun).total_seconds() if s.at and begun else None,
                "what": s.what,
            }
            for s in steps
        ],
    }
