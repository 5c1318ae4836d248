"""One change of main as an incident report in Markdown: what happened, when, on what evidence.

Promise: everything in it stands in the verified ledger, or in what is named beside it; nothing is
concluded that the ledger does not say. What a newcomer gets wrong: times are the wall clocks of the
leaders that wrote the entries; within one term that is one clock.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from controller.cli.term_timeline import Step, change_of_term, rows_of, steps_of

Entry = dict[str, Any]
BEFORE = 3  # entries before the change, for the context


@frozen
class Incident:
    """The entries of one change of main up to its redundancy, and what came just before."""

    term: int
    before: tuple[Entry, ...]
    entries: tuple[Entry, ...]
    steps: tuple[Step, ...]

    @property
    def promoted(self) -> Entry | None:
        """The entry that gave clients a main, if there is one."""
        return next((e for e in reversed(self.entries) if e["on"] == "main_promoted"), None)

    @property
    def begin(self) -> Entry:
        """The first entry."""
        return self.entries[0]


def incident_of(entries: Sequence[Entry], term: int) -> Incident:
    """The change of main that this term belongs to.

    Raises:
        Problem: there is no such term.
    """
    change = change_of_term(entries, term)
    before = [e for e in entries if e["seq"] < change[0]["seq"]][-BEFORE:]
    return Incident(term, tuple(before), tuple(change), tuple(steps_of(change)))


def markdown(incident: Incident, extras: Mapping[str, str]) -> str:
    """The whole report. `extras`: further sections, title -> Markdown."""
    parts = [
        f"# Term {incident.term}: {_mains(incident)}\n",
        summary(incident),
        "## Steps\n\n" + _table(("step", "entry", "at", "after", "what"), rows_of(incident.steps)),
        "```mermaid\n" + sequence(incident) + "```\n",
        "## Entries\n\n" + timeline(incident),
        "## Evidence\n\nWhat each guard saw when the event was decided.\n\n" + evidence(incident),
        *(f"## {title}\n\n{text}" for title, text in extras.items()),
        "## Ledger\n\n"
        + "The lines as they stand; `memgraph-controller verify` checks their chain.\n\n"
        + "```json\n"
        + "".join(json.dumps(e, separators=(",", ":")) + "\n" for e in _all(incident))
        + "```\n",
    ]
    return "\n".join(parts)


def summary(incident: Incident) -> str:
    """The sentences that people read first."""
    begin, promoted = incident.begin, incident.promoted
    lines = [
        f"- began: {begin['at']}, by {begin.get('by', '?')}: {begin['on']}, {begin['why']}",
        f"- phase before: {begin['from']}",
    ]
    if promoted is None:
        lines.append("- nobody was promoted")
    else:
        lines.append(f"- main afterwards: {promoted['main']}")
        lines.append(f"- loss verdict: {promoted['data'].get('verdict') or 'not said'}")
    lines.append(f"- phase at the end: {incident.entries[-1]['to']}")
    return "\n".join(lines) + "\n"


def timeline(incident: Incident) -> str:
    """All entries, one a row."""
    rows = [
        (e["at"], str(e["seq"]), str(e["term"]), f"{e['from']} -> {e['to']}", e["on"], e["why"])
        for e in _all(incident)
    ]
    return _table(("at", "entry", "term", "phase", "event", "why"), rows)


def sequence(incident: Incident) -> str:
    """The steps as a Mermaid sequence diagram."""
    lines = ["sequenceDiagram", "    participant leader", "    participant ledger"]
    mains = [e["main"] for e in _all(incident) if e.get("main")]
    lines += [f"    participant {_word(main)}" for main in dict.fromkeys(mains)]
    for step, row in zip(incident.steps, rows_of(incident.steps), strict=True):
        if step.at is None:
            continue
        lines.append(f"    leader->>ledger: {_word(f'{row[3]} {step.name}, {step.what}')}")
        if step.name == "promoted" and incident.promoted is not None:
            main, term = _word(incident.promoted["main"]), incident.promoted["term"]
            lines.append(f"    Note over {main}: main of term {term}")
    return "\n".join(lines) + "\n"


def evidence(incident: Incident) -> str:
    """Facts by event."""
    parts = [
        f"Entry {e['seq']}, {e['on']}:\n\n" + _table(("guard", "saw"), e["facts"].items())
        for e in incident.entries
        if e.get("facts")
    ]
    return "\n".join(parts) or "No event of this change had a guard.\n"


def _all(incident: Incident) -> tuple[Entry, ...]:
    return (*incident.before, *incident.entries)


def _mains(incident: Incident) -> str:
    """Who was main, and who is."""
    around = (*incident.before[-1:], *incident.entries)
    mains = [e["main"] for e in around if e.get("main")]
    return " to ".join(dict.fromkeys(mains)) or "nobody was main"


def _table(head: Sequence[str], rows: Any) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(_cell(str(cell)) for cell in row) + " |\n" for row in lines)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _word(text: str) -> str:
    """Fit for a Mermaid line: nothing in it can end the line or begin another statement."""
    return re.sub(r"[;\n#<>{}]", " ", text)
