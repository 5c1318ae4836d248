"""`verify`: whether a history is whole, and what that proves and does not.

Promise: exit code 0 means that every entry from the first one on was verified: its hash, its
position, its term, its edge in the table, what it shows, and each snapshot against the fold.
"""

import json
from typing import Any

from controller.cli import tables
from controller.cli.exits import FAILED, OK
from statemachine.chain import Chain
from statemachine.ledger import digest

LIMITS_OF_PROOF = (
    "whoever may write these ConfigMaps can write the whole chain anew: compare with a head that "
    "was kept elsewhere (--head)",
    "entries that were cut off the end are missed only while the object's own annotation names the "
    "last one: who can cut them can change that too, and then only a later head shows it",
    "the times are the leaders' own clocks; that what was recorded is what happened is not shown",
)


def show_verdict(chain: Chain, heads: tuple[str, ...], form: str) -> int:
    """Print what was verified; returns the exit code."""
    document = verdict_of(chain, heads)
    if form == "table":
        tables.console().print(tables.columns(("", ""), _rows(document), header=False))
    else:
        tables.show(document, form)
    if document["verified"]:
        return OK
    for what in document["faults"]:
        tables.loudly(what)
    return FAILED


def verdict_of(chain: Chain, heads: tuple[str, ...] = ()) -> dict[str, Any]:
    """What was verified, as a document. `heads`: hashes that were kept elsewhere."""
    lines = dict(chain.entries())
    faults = [str(fault) for fault in chain.faults]
    found = {digest(line): seq for seq, line in lines.items()} if heads else {}
    known = {head: found.get(head.lower()) for head in heads}
    faults += [_foreign(head) for head, seq in known.items() if seq is None]
    terms = [json.loads(lines[seq])["term"] for seq in (min(lines), max(lines))] if lines else []
    return {
        "verified": not faults,
        "first_entry": chain.first,
        "last_entry": max(lines, default=0),
        "entries": chain.count,
        "terms": terms,
        "archives": chain.archives,
        "head": chain.head,
        "heads_found": {head: seq for head, seq in known.items() if seq is not None},
        "faults": faults,
        "notes": list(chain.notes),
        "not_proven": list(LIMITS_OF_PROOF),
    }


def _foreign(head: str) -> str:
    return (
        f"no entry has the hash {head}: the history was written anew or cut since it was kept, or "
        "the entry was given up"
    )


def _rows(document: dict[str, Any]) -> list[tuple[str, str]]:
    first, last = document["first_entry"], document["last_entry"]
    terms = document["terms"]
    return [
        ("verified", "yes" if document["verified"] else "NO"),
        ("entries", f"{document['entries']} ({first} to {last})"),
        ("terms", f"{terms[0]} to {terms[-1]}" if terms else "-"),
        ("pieces", f"the live part and {document['archives']} archives"),
        ("head", f"{document['head']} (entry {last})"),
        *((f"head {head}", f"is entry {seq}") for head, seq in document["heads_found"].items()),
        *(("note", note) for note in document["notes"]),
        *(("not proven", what) for what in document["not_proven"]),
    ]
