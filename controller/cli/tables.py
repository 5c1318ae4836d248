"""How documents look to people: tables on a terminal, plain aligned columns in a pipe.

Colours and width are rich's decision; in a pipe nothing is wrapped or cut, for grep and awk.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 4000  # wider than any row
PHASE_STYLES = {"OPERATIONAL": "green", "DEGRADED": "yellow", "FAILOVER": "red"}
GOOD, BAD = {"ready", "main", "replica"}, {"diverged", "invalid", "silent", "refused", "auth"}
Document = Mapping[str, Any]


def console(*, stderr: bool = False) -> Console:
    """Where to print, decided now: tests and pipes exchange the streams."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    return made


def show(document: Any, form: str) -> None:
    """Print a document as "json" or "yaml"."""
    if form == "json":
        print(json.dumps(document, indent=2))
    else:
        print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), end="")


def loudly(text: str) -> None:
    """A line on stderr that is not overlooked."""
    console(stderr=True).print(Text(f"!! {text}", style="bold red"))


def columns(
    names: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    header: bool = True,
    widths: Sequence[int] = (),
) -> Table:
    """An open table; the last column takes what is left of the width. `widths`: least ones."""
    table = Table(box=None, pad_edge=False, show_header=header, header_style="bold")
    for i, name in enumerate(names):
        is_last = i == len(names) - 1
        least = widths[i] if i < len(widths) else None
        table.add_column(name, no_wrap=not is_last, overflow="fold", min_width=least)
    for row in rows:
        table.add_row(*(Text(cell, style=style_of(cell)) for cell in row))
    return table


def style_of(cell: str) -> str:
    """The colour of a word that means something."""
    if cell in PHASE_STYLES:
        return PHASE_STYLES[cell]
    return "green" if cell in GOOD else "red" if cell in BAD else ""


def age_text(age_s: float | None) -> str:
    """ "0.2s", "4m", "-"."""
    if age_s is None:
        return "-"
    if age_s < 10:
        return f"{age_s:.1f}s"
    return f"{age_s:.0f}s" if age_s < 120 else f"{age_s / 60:.0f}m"


INSTANCE_COLUMNS = ("NAME", "ROLE", "SEEN", "MODE", "STATUS", "BEHIND", "POD IP", "AGE")


def instance_row(instance: Document) -> tuple[str, ...]:
    """One instance: role by the ledger, role seen, how the main sees it."""
    answer, pod = instance.get("answer") or {}, instance.get("pod") or {}
    behind = instance.get("behind")
    return (
        str(instance["name"]),
        str(instance["role"]),
        "MAIN (stray)" if instance.get("is_stray_main") else str(instance["role_seen"]),
        str(instance["mode"] or "-"),
        str(instance["status"] or "-"),
        "-" if behind is None else str(behind),
        str(pod.get("ip") or "-"),
        age_text(answer.get("age_s")),
    )


def instance_table(document: Document) -> Table:
    """All instances."""
    return columns(INSTANCE_COLUMNS, map(instance_row, document["instances"]))


def summary_table(document: Document) -> Table:
    """What a person asks first."""
    writes, ledger = document["writes"], document["ledger"]
    rows = [
        ("phase", str(document["phase"])),
        ("main", f"{document['main'] or '-'} (term {document['main_term']})"),
        ("sync set", ", ".join(document["sync"]) or "-"),
        ("readers", ", ".join(document["readers"]) or "-"),
        ("writes", "open" if writes["open"] else f"closed: {writes['why_closed']}"),
        ("durability", str(document["durability"])),
        ("leader", str(document["leader"]["identity"] or "-")),
        ("ledger", f"entry {ledger['seq']}, {ledger['trouble'] or 'verified'}"),
        ("last failover", failover_text(document.get("last_failover"))),
        ("source", str(document["source"])),
    ]
    return columns(("", ""), rows, header=False)


def failover_text(last: Document | None) -> str:
    """One line about the last failover."""
    if not last:
        return "none in the ledger"
    took = last["promoted_after_s"]
    how = "under way" if took is None else f"new main after {took:.3f} s"
    verdict = f", loss: {last['loss_verdict']}" if last["loss_verdict"] else ""
    who = f"{last['old_main'] or '?'} -> {last['new_main'] or '?'}"
    return f"{last['detected_at']}  {who}, {how}{verdict} ({last['why']})"


def gateway_table(document: Document) -> Table:
    """The gateways by their Leases."""
    rows = [
        (
            str(g["pod"]),
            "open" if g["rw_open"] else "closed",
            str(g["acked_seq"]),
            str(g["sessions"]),
            age_text(g["age_s"]),
        )
        for g in document["gateway_leases"]
    ]
    return columns(("GATEWAY", "WRITES", "SEQ", "SESSIONS", "RENEWED"), rows)


HISTORY_COLUMNS = ("SEQ", "AT", "FROM", "TO", "ON", "MAIN", "TERM", "WHY")
HISTORY_WIDTHS = (4, 24, 11, 11, 20, 12, 4)  # lines printed later stand under the first ones


def history_row(entry: Document) -> tuple[str, ...]:
    """One entry of the ledger; the phase is shown once where it stays."""
    stays = entry["from"] == entry["to"]
    return (
        str(entry["seq"]),
        str(entry["at"]),
        str(entry["from"]),
        "=" if stays else str(entry["to"]),
        str(entry["on"]),
        str(entry["main"] or "-"),
        str(entry["term"]),
        str(entry["why"]),
    )


def history_table(entries: Iterable[Document], *, header: bool = True) -> Table:
    """Entries of the ledger, oldest first."""
    return columns(HISTORY_COLUMNS, map(history_row, entries), header=header, widths=HISTORY_WIDTHS)
