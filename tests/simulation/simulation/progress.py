"""Whether a cluster that was healed serves, or says why it does not.

Looks at the world and at what the ledger tells people, never at what a controller believes.
"""

import json

import trio
from attrs import define

from gateway import Upstream
from statemachine.ids import Mode, Role, RowStatus

from .cluster import Cluster
from .memgraph import Memgraph
from .plan import Plan

NOBODY_LEFT = (
    ("main_lost", ""),
    ("candidate_lost", ""),
    ("decision_refused", "main_lost"),
    ("decision_refused", "main_promoted"),
)
"""Entries that say who must come back: (trigger, what they are about)."""
FOLLOWING = (RowStatus.READY, RowStatus.REPLICATING)


@define
class Progress:
    """Asked about one cluster; `explained` is the last reason that held."""

    plan: Plan
    cluster: Cluster
    explained: str = ""

    def is_serving(self, dead: str = "") -> bool:
        """Every gateway leads to one main, clients are answered, and as many copies as there can
        be are in the sync set."""
        head, now_s = self.cluster.books.head, trio.current_time()
        led_to = {_instance(g.writable()) for g in self.cluster.living_relays()}
        if led_to != {head.get("main") or "?"}:
            return False
        if not any(now_s - client.last_ok_s < 1.0 for client in self.cluster.clients):
            return False
        eligible = {"memgraph-0", "memgraph-1"} - {dead}
        up = all(i.is_up for i in self.cluster.instances.by_name.values() if i.name != dead)
        return up and eligible <= set(head["sync"])

    def is_whole(self, dead: str = "") -> bool:
        """It serves, and every other instance is sent what is written."""
        if not self.is_serving(dead):
            return False
        gone = (dead, self.cluster.books.head["main"])
        others = [i for i in self.cluster.instances.by_name.values() if i.name not in gone]
        return all(self._is_sent_to(i) for i in others)

    def _is_sent_to(self, replica: Memgraph) -> bool:
        main = self.cluster.instances.by_name[self.cluster.books.head["main"]]
        rows = [row for row in main.rows.values() if main.peers.at(row.address) is replica]
        return any(row.status in FOLLOWING for row in rows)

    def explains(self, dead: str) -> bool:
        """Whether the ledger says why it does not serve, and the world agrees."""
        books, instances = self.cluster.books, self.cluster.instances.by_name
        head = books.head
        holders = [
            name
            for name in head["sync"]
            if name != dead
            and not books.missing(instances[name].disk)
            and name not in books.excused
        ]
        if not holders:
            self.explained = "nobody left who holds everything"
            is_told = any(self._last_said(*said) for said in NOBODY_LEFT)
            return head["to"] == "FAILOVER" or is_told
        if all(self._is_doubted(name) for name in holders):
            self.explained = "a person has to look at a copy that restarted in a change of main"
            return True
        is_unfenced = head["to"] == "FAILOVER" and self.plan.mode == "sync"
        if is_unfenced and self._last_said("decision_refused", "main_fenced"):
            self.explained = "SYNC: a person has to say that the node of the old main is dead"
            return True
        is_unproved = dead == head.get("main") and not books.ledger.is_fenced
        if is_unproved and self._has_no_fence(instances[dead]):
            self.explained = "a person has to say that the node of a main without rows is dead"
            is_told = self._last_said("decision_refused", "old_main_is_harmless")
            return head["to"] == "FAILOVER" and is_told
        if books.ledger.durability == "required" and dead in ("memgraph-0", "memgraph-1"):
            self.explained = "durability is required, and one copy is dead"
            return True
        if self._last_said("decision_refused", "reset_ordered"):
            self.explained = "a reset needs a person"
            return True
        return False

    def _has_no_fence(self, old: Memgraph) -> bool:
        """Whether a main that is dead for good was without what keeps it from committing alone: a
        REPLICA by then, or without a STRICT_SYNC row that the ledger knows. That proof of the fence
        is void then (S4), and the pod of a lost node looks alive until a person deletes it."""
        known = self.cluster.books.ledger.open_names
        rows = [r for r in old.rows.values() if r.mode is Mode.STRICT_SYNC and r.name in known]
        return old.role is not Role.MAIN or not rows

    def _is_doubted(self, name: str) -> bool:
        """Whether the ledger says that this one may have been refilled without its data (S10)."""
        about = f"{name} restarted since it was registered"
        triggers = ("main_lost", "candidate_lost", "decision_refused")
        return any(self._last_said(trigger, about, "why") for trigger in triggers)

    def _last_said(self, trigger: str, about: str = "", where: str = "data") -> bool:
        """Whether an entry says so since there was a main last; a refusal is said once for as long
        as the phase lasts, whoever is main meanwhile."""
        for line in reversed(self.cluster.books.lines):
            document = json.loads(line)
            if document["on"] == trigger and about in json.dumps(document[where]):
                return True
            is_of_a_main = document["on"] in ("main_promoted", "main_returned")
            is_of_a_phase = document["from"] != document["to"]
            if is_of_a_phase if trigger == "decision_refused" else is_of_a_main:
                return False
        return False


def _instance(upstream: Upstream | None) -> str:
    return upstream.instance if upstream else ""
