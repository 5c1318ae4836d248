"""`history --at`: what the ledger knew at a moment, and what it cannot know.

Promise: everything shown was in the ledger by then; nothing is filled in from later entries. What
was never in the ledger is named as such, not guessed.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from attrs import asdict, frozen

from controller.cli.exits import NOT_FOUND, Problem
from controller.cli.moments import last_before
from statemachine.chain import Chain
from statemachine.cluster import Cluster
from statemachine.route import closed_because

GATEWAY_FACT = "gateways_have_cut"
NOT_IN_THE_LEDGER = (
    "what each instance answered and how far each replica was behind (metrics and logs have it)",
    "each gateway's sessions, and the moment at which each of them opened",
)
Document = dict[str, Any]


@frozen
class Looked:
    """The last entry by then, and the next one, if there was one by now."""

    entry: Document
    following: Document | None
    gateways: Document | None  # the last entry by then that says what the gateways had done


def document_at(chain: Chain, at: datetime) -> Document:
    """The cluster as the ledger knew it at this time.

    Raises:
        Problem: the history has no entry by then, or what is at hand begins later.
    """
    entries = [json.loads(line) for _, line in chain.entries()]
    seq, doubt = last_before(entries, at)
    if not seq:
        begins = f"; what is at hand begins with entry {chain.first}" if chain.count else ""
        raise Problem(f"the ledger has no entry by {at.isoformat()}{begins}", NOT_FOUND)
    cluster = chain.cluster_at(seq)
    assert cluster is not None, "entries of the chain have a cluster"
    return {"at": at.isoformat(), **_known(cluster, _look(entries, seq)), "doubt": doubt}


def _look(entries: Iterable[Document], seq: int) -> Looked:
    entry: Document = {}
    gateways: Document | None = None
    following: Document | None = None
    for found in entries:
        if found["seq"] > seq:
            following = found
            break
        entry = found
        gateways = found if GATEWAY_FACT in found["facts"] else gateways
    return Looked(entry, following, gateways)


def _known(c: Cluster, looked: Looked) -> Document:
    change = c.change
    why_closed = closed_because(c)
    return {
        "entry": _entry(looked.entry),
        "next": _entry(looked.following) if looked.following else None,
        "phase": c.phase.value,
        "term": int(c.term),
        "main": c.main,
        "main_term": int(c.main_term),
        "leader": c.leader,
        "sync": sorted(c.sync),
        "readers": sorted(c.readers),
        "writes": {"open": not why_closed, "why_closed": why_closed},
        "durability": c.durability.value,
        "change": asdict(change, value_serializer=_plain) if change else None,
        "registrations": [asdict(r, value_serializer=_plain) for r in c.registrations],
        "refused": [asdict(r) for r in c.refused],
        "pause": asdict(c.pause) if c.pause else None,
        "observed": c.is_observed,
        "loss_verdict": c.verdict,
        "gateways": _gateways(c, looked.gateways),
        "evidence": looked.entry["facts"],
        "not_in_the_ledger": list(NOT_IN_THE_LEDGER),
    }


def _plain(instance: Any, attribute: Any, value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else getattr(value, "value", value)


def _entry(entry: Document) -> Document:
    return {name: entry[name] for name in ("seq", "at", "on", "why", "by")}


def _gateways(c: Cluster, said: Document | None) -> Document:
    """What gateways had to acknowledge, and what was last recorded of them."""
    known = {"must_have_acknowledged": int(c.rw_closed_seq)}
    if said is None:
        return {**known, "recorded": "", "by_entry": 0}
    return {**known, "recorded": said["facts"][GATEWAY_FACT], "by_entry": said["seq"]}


def rows_of(document: Document) -> list[tuple[str, str]]:
    """For people."""
    entry, following, gateways = document["entry"], document["next"], document["gateways"]
    writes, change = document["writes"], document["change"]
    until = (
        f"{following['at']} (entry {following['seq']}, {following['on']})" if following else "now"
    )
    recorded = f"{gateways['recorded']} (entry {gateways['by_entry']})"
    return [
        ("at", document["at"]),
        ("as of", f"entry {entry['seq']} of {entry['at']}: {entry['on']}"),
        ("until", until),
        ("phase", document["phase"]),
        ("main", f"{document['main'] or '-'} (since term {document['main_term']})"),
        ("term", str(document["term"])),
        ("leader", document["leader"] or "-"),
        ("sync set", ", ".join(document["sync"]) or "-"),
        ("readers", ", ".join(document["readers"]) or "-"),
        ("writes", "open" if writes["open"] else f"closed: {writes['why_closed']}"),
        ("durability", document["durability"]),
        ("gateways", recorded if gateways["recorded"] else "nothing recorded of them yet"),
        ("why", entry["why"]),
        *((f"  {name}", saw) for name, saw in document["evidence"].items()),
        *_more(document, change),
        *(("not in the ledger", what) for what in document["not_in_the_ledger"]),
    ]


def _more(document: Document, change: Document | None) -> Iterable[tuple[str, str]]:
    if change:
        fence = change["fence"] or "not fenced yet"
        yield "under way", f"{change['old_main'] or '-'} -> {change['candidate']}, {fence}"
    for refused in document["refused"]:
        yield "refused", f"{refused['instance']} in term {refused['term']}: {refused['text']}"
    if document["pause"]:
        yield "paused", f"by {document['pause']['author']}: {document['pause']['reason']}"
    if document["observed"]:
        yield "observed", "decisions are recorded only"
    if document["loss_verdict"]:
        yield "loss verdict", document["loss_verdict"]
    if document["doubt"]:
        yield "doubt", document["doubt"]
