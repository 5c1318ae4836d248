"""What would happen if something broke now, as a document. Nothing is done, whatever is asked.

Promise: the answer is computed by the functions that run the cluster, from this pod's picture. It
costs up to some tenths of a second, so it is computed beside the loop in a thread, one at a time;
who asks meanwhile is told so. Values are frozen, so the thread needs no lock.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from controller.web.instances import Document
from controller.web.snapshot import Snapshot, SnapshotSource
from statemachine.cluster import Cluster
from statemachine.ids import Instance
from statemachine.imagined import Supposition
from statemachine.view import View
from statemachine.whatif import Foresight, Step, foresee, unknown_names

NAMES_MAX = 16  # of one question


BUSY, BAD_REQUEST = 503, 400


class WhatIf:
    """The endpoint."""

    def __init__(self, source: SnapshotSource) -> None:
        self._source, self._free = source, trio.CapacityLimiter(1)

    async def answer(self, request: Request) -> Response:
        """What would be decided, commanded and lost, by what this pod sees; nothing is done."""
        asked = {kind: request.query_params.getlist(kind) for kind in ("kill", "hang", "cut")}
        if self._free.borrowed_tokens:
            return JSONResponse({"error": "another question is thought about; ask again"}, BUSY)
        work = partial(whatif_document, self._source(), asked)
        try:
            return JSONResponse(await trio.to_thread.run_sync(work, limiter=self._free))
        except Nonsense as error:
            return JSONResponse({"error": str(error)}, BAD_REQUEST)


class Nonsense(ValueError):
    """The question cannot be answered; the text says why."""


def supposition(asked: Mapping[str, Sequence[str]]) -> Supposition:
    """The question as a value. `asked`: "kill", "hang" (names) and "cut" ("one,other").

    Raises:
        Nonsense: a pair is none, or there are too many names.
    """
    if sum(len(values) for values in asked.values()) > NAMES_MAX:
        raise Nonsense(f"more than {NAMES_MAX} names at once")
    pairs = [tuple(pair.split(",")) for pair in asked.get("cut", ())]
    for pair in pairs:
        if len(pair) != 2 or not all(pair) or pair[0] == pair[1]:
            raise Nonsense("cut wants two names, as in memgraph-0,memgraph-1")
    return Supposition(
        killed=frozenset(Instance(name) for name in asked.get("kill", ())),
        hung=frozenset(Instance(name) for name in asked.get("hang", ())),
        cut=frozenset((pair[0], pair[1]) for pair in pairs),
    )


def whatif_document(snapshot: Snapshot, asked: Mapping[str, Sequence[str]]) -> Document:
    """The answer by what this pod sees.

    Raises:
        Nonsense: the question cannot be answered.
    """
    document = foresight_document(snapshot.cluster, snapshot.view, supposition(asked))
    return {"pod": snapshot.view.me, "is_leader": snapshot.is_leader, **document}


def foresight_document(cluster: Cluster, view: View, supposed: Supposition) -> dict[str, Any]:
    """The answer by this view.

    Raises:
        Nonsense: somebody is unknown.
    """
    unknown = unknown_names(view, supposed)
    if unknown:
        known = ", ".join(sorted({i.instance for i in view.instances}))
        raise Nonsense(f"{', '.join(unknown)} is not known here; instances are {known}")
    found = foresee(cluster, view, supposed)
    return {
        "seq": cluster.seq,
        "before": _state(found.before),
        "after": _state(found.after),
        "main_changes": found.changes_main,
        "loss_verdict": found.verdict or None,
        "writes_closed_s": found.writes_gap_s,
        "comes_to_rest": found.is_at_rest,
        "steps": [_step(step) for step in found.steps],
        "refusals": [refusal.reason for refusal in found.refusals],
        "ends": _end(found),
    }


def _state(cluster: Cluster) -> Document:
    return {
        "phase": cluster.phase.value,
        "main": cluster.main,
        "sync": sorted(cluster.sync),
        "readers": sorted(cluster.readers),
        "term": cluster.term,
    }


def _step(step: Step) -> Document:
    facts = dict(step.facts)
    return {
        "after_s": step.after_s,
        "kind": step.kind,
        "what": step.what,
        "why": step.why,
        "facts": facts,
    }


def _end(found: Foresight) -> str:
    """The sentence that people want first."""
    after = found.after
    if found.writes_gap_s is None:
        who = " or ".join(sorted(after.sync)) or "somebody"
        return f"writes stay closed until {who} is back, or a person decides"
    gap = f"writes are closed for about {found.writes_gap_s:g} s"
    if found.changes_main:
        who = f"{after.main} is main" if after.main != found.before.main else "the main stays"
        return f"{who} in term {after.main_term}; {gap}; acknowledged writes missing: " + (
            found.verdict or "none"
        )
    return f"{after.main} stays main; {gap if found.writes_gap_s else 'writes go on'}"
