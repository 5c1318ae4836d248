"""Asks for something and waits for the answer: an entry in the ConfigMap of requests, written with
the user's own kubeconfig, answered in the ledger.

Promise: what is printed as granted or refused stands in the verified ledger under the request's id.
What a newcomer gets wrong: a lost answer of the API server is no failure; the same entry is written
again, for its id is answered once.
"""

import getpass
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from attrs import define, evolve, field, frozen

from controller.cli import tables
from controller.cli.answers import EXITS, Answer, Entry, Verdict, answer_in
from controller.cli.evidence import Verified, entries_of, verified_of
from controller.cli.exits import NO_ACCESS, USAGE, Problem
from controller.cli.reading import (
    Json,
    Release,
    Target,
    answer_of,
    find_release,
    setting_of,
    user_of,
)
from controller.requests import ENTRIES_MAX, line_of
from statemachine.observations import Request

WRITE_ATTEMPTS_MAX = 3
ELIGIBLE = 2  # SYNC_ELIGIBLE's default
LOOK_S = 0.2  # between two reads of the ledger


@frozen
class Manner:
    """How a request is made, whatever it asks for."""

    reason: str
    author: str
    wait: bool
    timeout_s: float
    form: str


def make_request(kind: str, author: str, reason: str, expires_s: float, **fields: Any) -> Request:
    """A request with a new id, which sorts by time."""
    stamp = datetime.now(UTC).strftime("%Y%m%dt%H%M%S.%f")[:-3]
    request_id = f"{stamp}-{kind}-{secrets.token_hex(3)}"
    request = Request(request_id, kind, author=author, reason=reason, expires_s=expires_s, **fields)
    try:
        line_of(request)
    except ValueError as error:
        raise Problem(str(error), USAGE) from error
    return request


def write(release: Release, request: Request) -> None:
    """Write the entry. Raises Problem: NO_ACCESS when Kubernetes does not allow it."""
    names, line = release.names, line_of(request)
    path = f"{names.config_maps_path}/{names.requests}"
    for attempt in range(1, WRITE_ATTEMPTS_MAX + 1):
        try:
            status, body = release.api.send(
                "PATCH", path, None, {"data": {request.id: line}}, "application/merge-patch+json"
            )
            if status == 404:
                status, body = _create(release, {request.id: line})
        except Problem:
            if attempt == WRITE_ATTEMPTS_MAX:
                raise
            continue
        if (status == 409 or status >= 500) and attempt < WRITE_ATTEMPTS_MAX:
            continue
        found = answer_of(path, status, body)
        if len(found.get("data") or ()) > ENTRIES_MAX:
            tables.loudly(f"more than {ENTRIES_MAX} requests are open; the oldest go first")
        return


def _create(release: Release, data: dict[str, str]) -> tuple[int, bytes]:
    """The controllers make it when they start; they may not have come to it yet."""
    names = release.names
    meta = {"name": names.requests, "labels": names.labels("requests")}
    body: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
    return release.api.send("POST", names.config_maps_path, None, body)


@define(eq=False)
class Waiter:
    """Waits for one answer. Owned by the command; `tell` gets each entry of the way once. Entries
    are kept by their seq, for they may move into an archive while it waits."""

    release: Release
    request: Request
    tell: Callable[[Entry], None]
    is_eligible: bool = False
    told_seq: int = 0
    entries: dict[int, Entry] = field(factory=dict)
    trouble: str = ""

    def wait(self, deadline_s: float) -> Answer:
        """The answer, or how far it was at `deadline_s` (of time.monotonic). An API server that is
        away for a while is waited for. Raises Problem when access is denied."""
        answer = Answer(Verdict.UNANSWERED, "no controller has answered")
        never = threading.Event()  # a wait that can be given a length, and no sleep
        while answer.verdict in (Verdict.UNANSWERED, Verdict.GRANTED):
            answer = self._look() or answer
            if time.monotonic() >= deadline_s:
                break
            never.wait(min(LOOK_S, max(0.0, deadline_s - time.monotonic())))
        if answer.verdict is Verdict.UNANSWERED and self.trouble:
            return evolve(answer, why=self.trouble)
        return answer

    def _look(self) -> Answer | None:
        try:
            verified = verified_of(self.release)
        except Problem as problem:
            if problem.exit_code == NO_ACCESS:
                raise
            self.trouble = problem.message
            return None
        self.trouble = verified.trouble
        return self._take(verified)

    def _take(self, verified: Verified) -> Answer:
        newest = max(self.entries, default=0)
        self.entries |= {entry["seq"]: entry for entry in entries_of(verified.ledger, newest)}
        entries = self.entries.values()
        answer = answer_in(entries, self.request, is_eligible=self.is_eligible)
        for entry in answer.entries:
            if entry["seq"] > self.told_seq:
                self.told_seq = entry["seq"]
                self.tell(entry)
        return answer


def document_of(request: Request, answer: Answer, took_s: float) -> Json:
    """What -o json shows."""
    last = answer.entries[-1] if answer.entries else {}
    return {
        "id": request.id,
        "kind": request.kind,
        "author": request.author,
        "verdict": answer.verdict.value,
        "why": answer.why,
        "seq": answer.seq or None,
        "phase": last.get("to"),
        "main": last.get("main"),
        "loss_verdict": last.get("data", {}).get("verdict") if last else None,
        "took_s": round(took_s, 3),
    }


def ask_and_wait(target: Target, manner: Manner, kind: str, fields: dict[str, Any]) -> int:
    """Ask, wait, print; returns the exit code."""
    release = find_release(target)
    author = manner.author or user_of(target) or getpass.getuser()
    expires_s = max(time.time(), fields.get("not_before_s", 0.0)) + manner.timeout_s
    request = make_request(kind, author, manner.reason, expires_s, **fields)
    began_s, left_s = time.monotonic(), expires_s - time.time()
    write(release, request)
    answer = Answer(Verdict.SENT, "look for its id in the history")
    if manner.wait:
        is_eligible = kind == "reinit" and may_be_main(request.instance, _pods(release))
        waiter = Waiter(release, request, teller(manner.form), is_eligible)
        answer = waiter.wait(began_s + left_s)
    show(request, answer, manner.form, time.monotonic() - began_s)
    return EXITS[answer.verdict]


def _pods(release: Release) -> list[Json]:
    """Those that this user may see: the request is written already, and is followed either way."""
    try:
        return release.pods()
    except Problem:
        return []


def may_be_main(instance: str, pods: Iterable[Json]) -> bool:
    """Whether the controllers' setting counts this instance among those that may be main or sync;
    by the default where no pod says it."""
    ordinal = instance.rpartition("-")[2]
    said = setting_of(pods, "SYNC_ELIGIBLE")
    return ordinal.isdecimal() and int(ordinal) < (int(said) if said.isdecimal() else ELIGIBLE)


def teller(form: str) -> Callable[[Entry], None]:
    """Prints the way on stderr, for people alone."""
    err = tables.console(stderr=True)

    def tell(entry: Entry) -> None:
        if form == "table":
            err.print(f"{entry['at']}  {entry['on']}: {entry['why']}", markup=False)

    return tell


def show(request: Request, answer: Answer, form: str, took_s: float) -> None:
    """The result, for people or programs."""
    document = document_of(request, answer, took_s)
    if form != "table":
        tables.show(document, form)
        return
    says = {
        Verdict.SENT: f"asked for ({request.id}): {answer.why}",
        Verdict.UNANSWERED: f"not answered within {took_s:.0f} s: {answer.why}; it has expired",
        Verdict.GRANTED: f"granted, but not finished within {took_s:.0f} s: {answer.why}",
        Verdict.REFUSED: f"refused: {answer.why}",
        Verdict.FAILED: f"granted, and failed: {answer.why}",
        Verdict.DONE: f"done in {took_s:.1f} s: {answer.why}",
    }[answer.verdict]
    if EXITS[answer.verdict]:
        tables.loudly(says)
        return
    loss = document["loss_verdict"]
    tables.console().print(says + (f"; loss: {loss}" if loss else ""), markup=False)
