"""One term of the ledger as an incident report in Markdown: what happened, when, on what evidence.

Promise: everything in it stands in the verified ledger, or in what is named beside it; nothing is
concluded that the ledger does not say. What a newcomer gets wrong: times are the wall clocks of the
leaders that wrote the entries; within one term that is one clock.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from controller.entries import between_s

Entry = Mapping[str, Any]
BEFORE = 3  # entries of the term before, for the context
SUSPECTED = re.compile(r" for ([0-9.]+) s of ")  # in the fact of `evidence_lasts`
BEGINNINGS = {
    "main_lost": "the loss was decided",
    "switchover_started": "the switchover began",
    "renewal_started": "the renewal began",
    "failover_forced": "a person forced a failover",
    "candidate_lost": "the candidate was lost",
    "main_returned": "the main came back",
    "leader_elected": "another leader took over",
}
STEPS = {
    **BEGINNINGS,
    "drained": "the marker went through the old main, all clients cut",
    "drain_abandoned": "the marker did not go through in time",
    "main_fenced": "the old main was fenced",
    "main_promoted": "the new main was promoted, its epoch pinned",
}


class NoSuchTerm(ValueError):
    """The ledger that was read does not hold this term; the text says which ones it does."""


@frozen
class Incident:
    """The entries of one term, what came just before, and the first entry after its promotion that
    says that redundancy is back."""

    term: int
    before: tuple[Entry, ...]
    entries: tuple[Entry, ...]
    redundant: Entry | None

    @property
    def begin(self) -> Entry:
        """The entry that all times count from."""
        return self.entries[0]

    @property
    def promotion(self) -> Entry | None:
        """The entry that gave clients a main, if there is one in this term."""
        return next((e for e in self.entries if e["on"] == "main_promoted"), None)


def incident_of(entries: Sequence[Entry], term: int) -> Incident:
    """The incident of this term.

    Raises:
        NoSuchTerm: there is none.
    """
    own = tuple(e for e in entries if e["term"] == term)
    if not own:
        terms = [e["term"] for e in entries]
        held = f"{min(terms)} to {max(terms)}" if terms else "none"
        raise NoSuchTerm(f"no entry of term {term}; the ledger that was read holds {held}")
    first = own[0]["seq"]
    before = tuple(e for e in entries if e["seq"] < first)[-BEFORE:]
    promoted = next((e["seq"] for e in own if e["on"] == "main_promoted"), None)
    redundant = None
    if promoted is not None:
        after = (e for e in entries if e["seq"] >= promoted and e["to"] == "OPERATIONAL")
        redundant = next(after, None)
    return Incident(term, before, own, redundant)


def markdown(incident: Incident, extras: Mapping[str, str]) -> str:
    """The whole report. `extras`: further sections, title -> Markdown."""
    parts = [
        f"# Term {incident.term}: {_mains(incident)}\n",
        summary(incident),
        "## Timeline\n\n" + timeline(incident),
        "```mermaid\n" + sequence(incident) + "```\n",
        "## Evidence\n\nWhat each guard saw when the event was decided.\n\n" + evidence(incident),
        *(f"## {title}\n\n{text}" for title, text in extras.items()),
        "## Ledger\n\n"
        + "The lines as they stand; `memgraph-controller verify` checks their chain.\n\n"
        + "```json\n"
        + "".join(json.dumps(e, separators=(",", ":")) + "\n" for e in slice_of(incident))
        + "```\n",
    ]
    return "\n".join(parts)


def slice_of(incident: Incident) -> tuple[Entry, ...]:
    """The entries that the report speaks of, in order."""
    after = incident.redundant
    is_inside = after is None or after["seq"] <= incident.entries[-1]["seq"]
    tail = () if is_inside or after is None else (after,)
    return (*incident.before, *incident.entries, *tail)


def summary(incident: Incident) -> str:
    """The sentences that people read first."""
    begin, promoted = incident.begin, incident.promotion
    lines = [
        f"- began: {begin['at']}, by {begin.get('by', '?')}: {begin['on']}, {begin['why']}",
        f"- phase before: {begin['from']}",
    ]
    if suspected := _suspected_s(incident):
        lines.append(f"- suspected for {suspected:.1f} s before it was decided")
    if promoted is not None:
        data = promoted.get("data", {})
        took = _since(incident, promoted)
        lines.append(f"- main afterwards: {promoted['main']}, {took} after the beginning")
        lines.append(f"- loss verdict: {data.get('verdict') or 'none'}")
    else:
        lines.append("- no main was promoted in this term")
    redundant = incident.redundant
    if redundant is not None:
        again = f"{_since(incident, redundant)} after the beginning (entry {redundant['seq']})"
        lines.append(f"- a second complete copy again: {again}")
    elif promoted is not None:
        lines.append("- a second complete copy: not yet, as far as the ledger was read")
    return "\n".join(lines) + "\n"


def timeline(incident: Incident) -> str:
    """A table: time since the beginning, what, why."""
    rows = "".join(
        f"| {_since(incident, e)} | {e['seq']} | {e['from']} | {e['on']} | {e['to']} "
        f"| {_cell(e['why'])} | {e.get('by', '')} |\n"
        for e in slice_of(incident)
    )
    head = "| after | entry | from | event | to | why | by |\n|---|---|---|---|---|---|---|\n"
    return head + rows


def sequence(incident: Incident) -> str:
    """The steps of the change as a Mermaid sequence diagram."""
    lines = ["sequenceDiagram", "    participant leader", "    participant ledger"]
    mains = [e["main"] for e in slice_of(incident) if e.get("main")]
    lines += [f"    participant {_word(main)}" for main in dict.fromkeys(mains)]
    for e in incident.entries:
        what = STEPS.get(e["on"])
        if what is None:
            continue
        said = f"{_since(incident, e)} {e['on']}: {what}"
        lines.append(f"    leader->>ledger: {_word(said)}")
        if e["on"] == "main_promoted" and e.get("main"):
            lines.append(f"    Note over {_word(e['main'])}: main of term {e['term']}")
    return "\n".join(lines) + "\n"


def evidence(incident: Incident) -> str:
    """Facts by event."""
    parts = []
    for e in incident.entries:
        facts = e.get("facts") or {}
        if not facts:
            continue
        rows = "".join(f"| {guard} | {_cell(str(saw))} |\n" for guard, saw in facts.items())
        parts.append(f"Entry {e['seq']}, {e['on']}:\n\n| guard | saw |\n|---|---|\n{rows}")
    return "\n".join(parts) or "No event of this term had a guard.\n"


def _mains(incident: Incident) -> str:
    """Who was main, and who is."""
    mains = [e["main"] for e in (*incident.before[-1:], *incident.entries) if e.get("main")]
    return " to ".join(dict.fromkeys(mains)) or "nobody was main"


def _suspected_s(incident: Incident) -> float | None:
    """For how long the evidence had lasted when the loss was decided, by its own fact."""
    fact = str((incident.begin.get("facts") or {}).get("evidence_lasts", ""))
    found = SUSPECTED.search(fact)
    return float(found.group(1)) if found else None


def _since(incident: Incident, entry: Entry) -> str:
    passed = between_s(incident.begin["at"], entry["at"])
    return "?" if passed is None else f"{passed:.3f} s"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _word(text: str) -> str:
    """Fit for a Mermaid line: nothing in it can end the line or begin another statement."""
    return re.sub(r"[;\n#<>{}]", " ", text)
