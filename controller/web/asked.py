"""What people have asked for, as shown: pause, observing, open requests, the last answers.

Promise: answers are read from the verified ledger, not remembered; texts of people were bounded
when their requests were read.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from controller.requests import WORD
from controller.requests_preflight import Option, preflight
from controller.web.instances import Document
from controller.web.snapshot import Snapshot
from statemachine.cluster import Cluster
from statemachine.decide import Refusal
from statemachine.ids import Phase
from statemachine.observations import Request
from statemachine.requests import KINDS
from statemachine.view import RequestView

ANSWERS_SHOWN_MAX = 10
KIND_OF = {
    "switchover_started": "switchover",
    "failover_forced": "failover",
    "paused": "pause",
    "resumed": "resume",
    "policy_changed": "durability",
    "observing_changed": "observe",
    "reset_ordered": "reinit",
    "cooldown_lifted": "acknowledge",
}
OTHER = "other"  # a kind that is not known here: a free text never becomes a label
EXPIRES_NEVER_S = 253_402_300_800.0  # the year 10000: beyond what a date can say


def asked_document(snapshot: Snapshot) -> Document:
    """The part `asked` of the status."""
    cluster = snapshot.cluster
    answers = list(answers_of(snapshot))
    return {
        "pause": pause_document(cluster),
        "observing": is_observing(snapshot),
        "open": [open_document(snapshot, seen) for seen in open_of(snapshot)],
        "answered": answers[-ANSWERS_SHOWN_MAX:],
    }


def pause_document(cluster: Cluster) -> Document | None:
    """Who has paused, why, and until when."""
    if cluster.pause is None:
        return None
    until = cluster.pause.until_s
    return {"author": cluster.pause.author, "reason": cluster.pause.reason, "until": _at(until)}


def is_observing(snapshot: Snapshot) -> bool:
    """Whether decisions are recorded only."""
    return snapshot.cluster.is_observed or snapshot.view.policy.observe_only


def open_of(snapshot: Snapshot) -> list[RequestView]:
    """Requests that the ledger has not answered."""
    answered = snapshot.cluster.answered
    return [r for r in snapshot.view.requests if r.request.id not in answered]


def open_document(snapshot: Snapshot, seen: RequestView) -> Document:
    """A request, and why it still waits."""
    request = seen.request
    return {
        "id": request.id,
        "kind": request.kind,
        "author": request.author,
        "reason": request.reason,
        "instance": request.instance,
        "not_before": _at(request.not_before_s) if request.not_before_s else None,
        "expires": _at(request.expires_s),
        "for_s": round(snapshot.now_s - seen.since_s, 3),
        "waits": _waits_for(snapshot, request),
    }


def _waits_for(snapshot: Snapshot, request: Request) -> str:
    if request.not_before_s > snapshot.view.wall_s:
        return "its time has not come"
    if not snapshot.is_leader:
        return "the leader answers it"
    about: tuple[Refusal, ...] = tuple(r for r in snapshot.refusals if r.is_pending)
    if about:
        return about[0].reason
    return "the main changes" if snapshot.cluster.phase is Phase.FAILOVER else "its turn"


def answers_of(snapshot: Snapshot) -> Iterator[Document]:
    """The answers in the ledger, oldest first."""
    for line in snapshot.told_lines:
        if '"request":"' not in line:
            continue  # most lines; decoding them all at every scrape would cost
        entry = json.loads(line)
        request = entry["data"].get("request")
        if request:
            is_refused = entry["on"] == "request_refused"
            kind = entry["data"].get("kind", "") if is_refused else KIND_OF.get(entry["on"], "")
            yield {
                "seq": entry["seq"],
                "at": entry["at"],
                "id": request,
                "kind": kind if kind in KINDS else OTHER,
                "verdict": "refused" if is_refused else "granted",
                "why": entry["why"],
            }


def asked_problems(snapshot: Snapshot) -> Iterator[str]:
    """What a person should know."""
    pause = snapshot.cluster.pause
    if pause is not None:
        until = f"until {_at(pause.until_s)}"
        yield f"paused by {pause.author} {until}: {pause.reason or 'no reason given'}"
    if is_observing(snapshot):
        yield "decisions are recorded only: nothing is done, no main is replaced"


def preflight_document(snapshot: Snapshot, kind: str, instance: str) -> Document | None:
    """What stands for and against a request of this kind; None: such a request cannot be."""
    if kind not in KINDS or not WORD.fullmatch(instance):
        return None
    request = Request("preflight", kind, author="preflight", instance=instance)
    found = preflight(snapshot.cluster, snapshot.view, request)
    return {
        "pod": snapshot.view.me,
        "is_leader": snapshot.is_leader,
        "seq": snapshot.cluster.seq,
        "phase": snapshot.cluster.phase.value,
        "main": snapshot.cluster.main,
        "kind": kind,
        "granted": found.is_granted,
        "options": [_option_document(option) for option in found.options],
    }


def _option_document(option: Option) -> Document:
    return {
        "candidate": option.candidate,
        "granted": option.is_granted,
        "against": option.against,
        "checks": [
            {"guard": c.guard, "ok": c.ok, "saw": c.saw, "is_pending": c.is_pending}
            for c in option.checks
        ],
    }


def _at(wall_s: float) -> str | None:
    if not 0 <= wall_s < EXPIRES_NEVER_S:
        return None
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="seconds")
