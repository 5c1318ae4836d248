"""Triggers: Cypher that runs with, or after, a commit.

Promise: they are kept on this instance's disk and never replicated (MEMGRAPH 3.6e); they run on the
main alone, as part of the transaction (BEFORE COMMIT: a failure fails it) or in one of their own
afterwards (AFTER COMMIT: a failure is only logged). What a trigger writes fires no trigger.
Known variables: createdVertices, createdEdges, createdObjects; others are refused.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import trio

from controller.sandbox.memgraph.cypher.evaluate import Scope
from controller.sandbox.memgraph.cypher.executor import execute
from controller.sandbox.memgraph.cypher.pace import Pace
from controller.sandbox.memgraph.cypher.parser import parse
from controller.sandbox.memgraph.durability.snapshots import write_atomically
from controller.sandbox.memgraph.failures import (
    ClientFailure,
    Failure,
    TransientFailure,
    unknown_to_stand_in,
)
from controller.sandbox.memgraph.graph.records import Change, NodeRef, RelationshipRef
from controller.sandbox.memgraph.graph.transaction import Transaction
from controller.sandbox.memgraph.logbook import Logbook
from controller.sandbox.memgraph.replication.commit import Committer
from controller.sandbox.memgraph.statements import CreateTrigger

WAITING_MAX = 1000  # commits whose AFTER COMMIT triggers have not run; further ones are dropped
_KNOWN = frozenset({"createdVertices", "createdEdges", "createdObjects"})
_VARIABLE = re.compile(r"\b(?:created|deleted|updated|set|removed)(?:Vert|Edge|Object)\w*")


class Triggers:
    """All triggers of the instance; owned by it."""

    def __init__(self, data_directory: Path, log: Logbook) -> None:
        self._path = data_directory / "triggers.json"
        self._log = log
        self._all: dict[str, CreateTrigger] = {}
        self._send, self._receive = trio.open_memory_channel[list[Change]](WAITING_MAX)
        if self._path.exists():
            for raw in json.loads(self._path.read_bytes()):
                trigger = CreateTrigger(**raw)
                self._all[trigger.name] = trigger

    def create(self, trigger: CreateTrigger) -> None:
        """Keep a trigger, on the disk too.

        Raises:
            ClientFailure: the name is taken, the statement is wrong, or names what is not known.
        """
        if trigger.name in self._all:
            raise ClientFailure(f"Trigger with name '{trigger.name}' already exists.")
        strange = sorted(set(_VARIABLE.findall(trigger.statement)) - _KNOWN)
        if strange:
            raise unknown_to_stand_in(f"the trigger variable '{strange[0]}'")
        parse(trigger.statement)
        self._all[trigger.name] = trigger
        self._save()

    def drop(self, name: str) -> None:
        """Forget a trigger.

        Raises:
            ClientFailure: there is none of that name.
        """
        if self._all.pop(name, None) is None:
            raise ClientFailure(f"Trigger with name '{name}' doesn't exist")
        self._save()

    def rows(self) -> list[list[Any]]:
        """The rows of SHOW TRIGGERS."""
        return [
            [t.name, t.statement, "DEFINER", t.event, f"{t.phase} COMMIT", None]
            for t in self._all.values()
        ]

    def before_commit(self, transaction: Transaction) -> None:
        """Let the BEFORE COMMIT triggers add to the transaction.

        Raises:
            TransientFailure: one of them failed.
        """
        changes = list(transaction.changes)
        for trigger in self._fired(changes, "BEFORE"):
            try:
                _run(trigger, transaction, changes)
            except Failure as problem:
                raise TransientFailure(
                    f"Trigger '{trigger.name}' caused the transaction to fail.\n"
                    f"Exception: {problem.message}"
                ) from problem

    def after_commit(self, changes: Sequence[Change]) -> None:
        """Have the AFTER COMMIT triggers run soon."""
        if self._fired(changes, "AFTER"):
            try:
                self._send.send_nowait(list(changes))
            except trio.WouldBlock:
                self._log.error("too many commits wait for their triggers: one is passed over")

    async def run_after_commits(self, committer: Committer) -> None:
        """Run them, in the order of the commits, until cancelled."""
        async for changes in self._receive:
            for trigger in self._fired(changes, "AFTER"):
                transaction = await committer.begin()
                try:
                    _run(trigger, transaction, changes)
                    await committer.commit(transaction, explicit=False)
                except Failure as problem:
                    self._log.error(f"trigger '{trigger.name}': {problem.message}")
                finally:
                    transaction.close()

    def _fired(self, changes: Sequence[Change], phase: str) -> list[CreateTrigger]:
        found = [t for t in self._all.values() if t.phase == phase]
        if not found:
            return []
        kinds = {change[0] for change in changes}
        return [trigger for trigger in found if kinds & _EVENTS[trigger.event]]

    def _save(self) -> None:
        data = json.dumps([attrs.asdict(trigger) for trigger in self._all.values()])
        write_atomically(self._path, (data.encode(),))


_EVENTS: dict[str, frozenset[str]] = {
    "() CREATE": frozenset({"node"}),
    "--> CREATE": frozenset({"rel"}),
    "CREATE": frozenset({"node", "rel"}),
    "() DELETE": frozenset({"drop-node"}),
    "--> DELETE": frozenset({"drop-rel"}),
    "DELETE": frozenset({"drop-node", "drop-rel"}),
    "UPDATE": frozenset({"props", "labels"}),
    "ANY": frozenset({"node", "rel", "drop-node", "drop-rel", "props", "labels"}),
}
"""Event type, as it is shown, and the kinds of changes that fire it."""


def _run(trigger: CreateTrigger, transaction: Transaction, changes: Sequence[Change]) -> None:
    nodes = [NodeRef(change[1]) for change in changes if change[0] == "node"]
    edges = [RelationshipRef(change[1]) for change in changes if change[0] == "rel"]
    variables: dict[Any, Any] = {
        "createdVertices": nodes,
        "createdEdges": edges,
        "createdObjects": [
            *({"event_type": "created_vertex", "vertex": node} for node in nodes),
            *({"event_type": "created_edge", "edge": edge} for edge in edges),
        ],
    }
    execute(parse(trigger.statement), Scope({}, transaction, Pace()), variables)
