"""The end of the ledger as a list, the newest first: what was decided, why, and on what evidence.

Promise: an entry is shown as it is stored; one that cannot be read is passed over and counted. What
a newcomer gets wrong: refused decisions stand in the ledger too, and are shown as such.
"""

import json
from collections.abc import Sequence
from typing import Any

from controller.web.page.markup import Markup, join, tag
from controller.web.page.sections import badge
from controller.web.page.words import clock, day, plain

ENTRIES_SHOWN_MAX = 60
REFUSED = frozenset({"decision_refused", "bootstrap_refused", "request_refused", "would_have"})
ROUTINE = frozenset(
    {"registration_opened", "registration_retired", "readers_changed", "leader_elected"}
)
GRAVE = frozenset({"main_lost", "sync_lost", "instance_refused", "candidate_lost"})


def timeline(lines: Sequence[str]) -> Markup:
    """The last entries."""
    shown = [entry for line in lines[-ENTRIES_SHOWN_MAX:] if (entry := _read(line))]
    if not shown:
        return tag("p", "The ledger is empty.", class_="calm")
    items = [_item(entry) for entry in reversed(shown)]
    text = f"The last {len(shown)} entries."
    link = tag("a", "The ledger as stored", href="/api/v1/ledger?since=0")
    return join((tag("p", text, " ", link, "."), tag("ol", *items, class_="timeline")))


def _read(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    needed = {"seq", "at", "from", "to", "on", "why", "term", "facts", "by"}
    return entry if isinstance(entry, dict) and needed <= entry.keys() else None


def _kind(entry: dict[str, Any]) -> str:
    if entry["on"] in REFUSED:
        return "refused"
    if entry["on"] in GRAVE:
        return "grave"
    if entry["from"] != entry["to"]:
        return "moves"
    return "routine" if entry["on"] in ROUTINE else "plain"


def _item(entry: dict[str, Any]) -> Markup:
    kind = _kind(entry)
    moved = badge(f"{entry['from']} → {entry['to']}") if entry["from"] != entry["to"] else ""
    when = tag("time", clock(entry["at"]), datetime=entry["at"], title=day(entry["at"]))
    head = tag(
        "p",
        tag("span", f"#{entry['seq']}", class_="seq"),
        when,
        tag("strong", plain(entry["on"])),
        moved,
        badge("refused", "bad") if kind == "refused" else "",
        class_="what",
    )
    why = tag("p", entry["why"], class_="why")
    return tag("li", head, why, _evidence(entry), class_=kind)


def _evidence(entry: dict[str, Any]) -> Markup:
    saw = entry["facts"].items() if isinstance(entry["facts"], dict) else ()
    rows = [(plain(str(guard)), text) for guard, text in saw]
    rows += [("main", entry.get("main") or "nobody"), ("term", entry["term"])]
    rows += [("sync set", ", ".join(map(str, entry.get("sync") or ())) or "empty")]
    rows += [("written by", entry["by"]), ("line before", entry.get("prev", ""))]
    pairs = [tag("div", tag("dt", name), tag("dd", text)) for name, text in rows]
    summary = tag("summary", f"Evidence of #{entry['seq']}")
    return tag("details", summary, tag("dl", *pairs, class_="facts"), id=f"entry-{entry['seq']}")
