"""The parts of the live page, each from the status document: what the API says, for people.

Promise: the page shows nothing that `/api/v1/status` and `/api/v1/ledger` do not say. Every fact
that was seen carries its age. Colour never stands alone: the word is always there too.
"""

from collections.abc import Iterable
from typing import Any

from controller.web.page.markup import Markup, join, tag
from controller.web.page.words import NOTHING, age, clock, day, lag, plain, size, took

Document = dict[str, Any]
PHASE_SAYS = {
    "BOOTSTRAP": "No main was appointed yet.",
    "OPERATIONAL": "A main, and another copy of every write.",
    "DEGRADED": "A main without another complete copy.",
    "FAILOVER": "The main changes; nobody may write.",
}


def sentence(status: Document) -> str:
    """What a person hears first: one sentence for a reader's voice, and for the headline."""
    main, change = status["main"], status["change"]
    writes = "writes are open" if status["writes"]["open"] else "writes are closed"
    if change:
        return f"{status['phase']}: the main changes to {change['candidate']}; {writes}."
    who = f"{main} is the main" if main else "there is no main"
    return f"{status['phase']}: {who}; {writes}."


def headline(status: Document) -> Markup:
    """Phase, main, and whether clients may write."""
    phase, writes = status["phase"], status["writes"]
    closed = "" if writes["open"] else f": {writes['why_closed']}"
    state = f"Writes are {'open' if writes['open'] else 'closed'}{closed}."
    return join(
        (
            tag("p", phase, class_=f"phase {phase.lower()}", id="phase"),
            tag("p", _who(status), class_="who"),
            tag("p", f"{PHASE_SAYS.get(phase, '')} {state}", class_="says"),
            facts(status),
        )
    )


def _who(status: Document) -> Markup:
    change, main = status["change"], status["main"]
    if change:
        old, new = change["old_main"] or "nobody", change["candidate"]
        arrow = (tag("strong", old), " → ", tag("strong", new)) if old != new else (
            tag("strong", new), " in a new epoch",
        )  # fmt: skip
        return join(("Main: ", *arrow))
    return join(("Main: ", tag("strong", main or "nobody", id="main-name")))


def facts(status: Document) -> Markup:
    """The numbers that an auditor asks for first."""
    ledger, leader = status["ledger"], status["leader"]
    checked = "verified" if ledger["verified"] and not ledger["trouble"] else "NOT VERIFIED"
    leads = f"{leader['identity'].split('/')[0] or 'nobody'}"
    pairs: tuple[tuple[str, object], ...] = (
        ("Term", f"{status['term']} (main since {status['main_term']})"),
        ("Sync set", ", ".join(status["sync"]) or "empty"),
        ("Readers", ", ".join(status["readers"]) or "none"),
        ("Durability", status["durability"]),
        ("Last change may have lost", status["loss_verdict"] or NOTHING),
        ("Ledger", f"entry {ledger['seq']}, {checked}"),
        ("Head of the ledger", tag("code", ledger["head"][:16] or NOTHING, title=ledger["head"])),
        ("Leader", leads),
        ("This pod", f"{status['pod']}{', which leads' if leader['is_this_pod'] else ''}"),
    )
    return tag("dl", *(tag("div", tag("dt", k), tag("dd", v)) for k, v in pairs), class_="facts")


def problems(status: Document) -> Markup:
    """What a person should know now."""
    found = status["problems"]
    if not found:
        return tag("p", "Nothing: all is as it should be.", class_="calm")
    return tag("ul", *(tag("li", text) for text in found), class_="problems")


def table(caption: str, heads: Iterable[str], rows: Iterable[Iterable[object]]) -> Markup:
    """A table whose first column names the row, in a box that scrolls by itself when narrow."""
    head = tag("tr", *(tag("th", text, scope="col") for text in heads))
    body = [
        tag("tr", *(tag("td" if i else "th", cell, scope=None if i else "row")
                    for i, cell in enumerate(cells)))
        for cells in rows
    ]  # fmt: skip
    whole = tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", head),
        tag("tbody", *body),
    )
    label = f"Table: {caption}"  # the section around it has the caption's name already
    return tag("div", whole, class_="scrolls", tabindex="0", role="region", aria_label=label)


def badge(word: str, kind: str = "") -> Markup:
    """A word that stands out, by shape and colour."""
    return tag("span", word, class_=f"badge {kind}".strip())


ROLE_KINDS = {"main": "good", "candidate": "warn", "refused": "bad", "sync": "good"}
STATUS_KINDS = {"ready": "good", "invalid": "bad", "diverged": "bad", "absent": "bad"}


def instances(status: Document) -> Markup:
    """Every instance: appointed, seen, replicated, heard."""
    heads = ("Instance", "By the ledger", "It says", "Replication", "Lag", "Heard", "Pod")
    return table("Instances", heads, (_instance(i) for i in status["instances"]))


def _instance(i: Document) -> tuple[object, ...]:
    answer, failure = i["answer"], i["failure"]
    role = badge(i["role"], "bad" if failure else ROLE_KINDS.get(i["role"], ""))
    said = answer["role"] if answer and not failure else i["role_seen"]
    stray = join((" ", badge("unappointed main", "bad"))) if i["is_stray_main"] else ""
    row = badge(i["status"], STATUS_KINDS.get(i["status"], "warn")) if i["status"] else NOTHING
    mode = f"{plain(i['mode'])} " if i["mode"] else ""
    heard = f"{age(answer['age_s'])}" if answer else "never"
    if failure:
        heard = tag("span", f"no answer for {age(failure['for_s'])}", title=failure["text"])
    return (i["name"], role, join((said, stray)), join((mode, row)), lag(i["behind"]),
            heard, _pod(i["pod"]))  # fmt: skip


def _pod(pod: Document | None) -> str:
    if pod is None:
        return "none"
    words = [pod["container"], "" if pod["ready"] else "not ready"]
    words += ["being deleted" if pod["deleting"] else ""]
    words += [f"{pod['restarts']} restarts" if pod["restarts"] else ""]
    words += [f"on {pod['node']}" if pod["node"] else ""]
    return ", ".join(word for word in words if word)


def gateways(status: Document) -> Markup:
    """The gateways of every pod by their Leases, and those of this pod by what they count."""
    heads = ("Pod", "Writes", "Route of term", "Acknowledged", "Sessions", "Lease moved", "Sees")
    seq = status["ledger"]["seq"]
    every = table(
        "Gateways of every pod", heads, (_lease(g, seq) for g in status["gateway_leases"])
    )
    own_heads = ("Gateway", "Listens", "Sessions", "Held", "Served", "Refused", "Cut", "To / from")
    own = table(
        "Gateways of this pod", own_heads, (_gateway(k, g) for k, g in status["gateways"].items())
    )
    return join((every, tag("h3", f"Of this pod, {status['pod']}"), own))


def _lease(g: Document, seq: int) -> tuple[object, ...]:
    state = badge("open", "good") if g["rw_open"] else badge("closed", "warn")
    gone = badge("Lease deleted", "bad") if g["is_deleted"] else ""
    behind = seq - g["acked_seq"]
    acked = f"entry {g['acked_seq']}{f', {behind} behind' if behind > 0 else ''}"
    sees = ", ".join(f"{name}: {word}" for name, word in sorted(g["vantage"].items()))
    return (g["pod"], join((state, gone)), g["term"], acked, g["sessions"],
            age(g["age_s"]), sees or NOTHING)  # fmt: skip


GATEWAY_NAMES = {"rw": "read/write", "ro": "read-only"}


def _gateway(kind: str, g: Document) -> tuple[object, ...]:
    where = ", ".join(f"{n} to {name}" for name, n in sorted(g["sessions"].items()) if n)
    refused, ended = sum(g["refused"].values()), sum(g["ended"].values())
    reasons = ", ".join(f"{plain(r)}: {n}" for r, n in sorted(g["refused"].items()) if n)
    return (GATEWAY_NAMES.get(kind, kind), g["listening"] or badge("no", "bad"),
            where or "none", g["held"], ended, tag("span", refused, title=reasons or None),
            g["cut"], f"{size(g['bytes_up'])} / {size(g['bytes_down'])}")  # fmt: skip


def refusals(status: Document) -> Markup:
    """What is wanted and refused now: the leader's view."""
    if not status["leader"]["is_this_pod"]:
        return tag("p", "This pod does not lead: ask the leader.", class_="calm")
    found = status["refusals"]
    if not found:
        return tag("p", "Nothing is wanted that is refused.", class_="calm")
    return tag("ul", *(_refusal(r) for r in found), class_="refusals")


def _refusal(r: Document) -> Markup:
    about = f" of {r['candidate']}" if r["candidate"] else ""
    kind = badge("waits", "warn") if r["is_pending"] else badge("refused", "bad")
    what = tag("strong", f"{plain(r['trigger'])}{about}")
    return tag("li", kind, " ", what, f": {plain(r['guard'])}: {r['saw']}")


def asked(status: Document) -> Markup:
    """What people have asked for, and what they were answered."""
    found = status["asked"]
    items = [
        tag("li", badge("open", "warn"), f" {r['kind']} {r['instance']} by {r['author']}, "
            f"seen {age(r['for_s'])} ago; waits: {r['waits']}")
        for r in found["open"]
    ]  # fmt: skip
    items += [
        tag("li", badge(r["verdict"], "good" if r["verdict"] == "granted" else "bad"),
            f" {r['kind']} ", tag("time", clock(r["at"]), datetime=r["at"]), f": {r['why']}")
        for r in reversed(found["answered"])
    ]  # fmt: skip
    return tag("ul", *items) if items else tag("p", "Nobody has asked for anything.", class_="calm")


def last_change(status: Document) -> Markup:
    """The last change of main, step by step."""
    change = status["last_change"]
    if not change:
        return tag("p", "The ledger at hand tells of no change of main.", class_="calm")
    old, new = change["old_main"] or "nobody", change["new_main"]
    steps = (
        ("decided", day(change["detected_at"]) + " " + clock(change["detected_at"]), ""),
        ("fenced", took(change["fenced_after_s"]), f"proof: {change['proof'] or NOTHING}"),
        ("promoted", took(change["promoted_after_s"]), f"in term {change['term']}"),
        ("open in this pod", took(change["opened_after_s"]), ""),
    )
    lost = f"May have lost: {change['loss_verdict'] or 'not known yet'}."
    return join(
        (
            tag("p", tag("strong", f"{plain(change['on'])}: {old} → {new}. "), change["why"], "."),
            tag("dl", *(tag("div", tag("dt", k), tag("dd", v, " ", tag("span", n)))
                        for k, v, n in steps), class_="facts"),
            tag("p", lost),
        )
    )  # fmt: skip
