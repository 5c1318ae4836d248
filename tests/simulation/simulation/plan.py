"""What goes wrong, as a list of values: stored, shrunk, replayed (`faults` draws them from a seed).

What a newcomer gets wrong: a fault names whom it hits by role where that matters ("main",
"leader"), so that a shrunk list still hits what it hit before.
"""

import json
from typing import Any

from attrs import asdict, fields, frozen

INSTANCES = ("memgraph-0", "memgraph-1", "memgraph-2")
CONTROLLERS = ("ctl-0", "ctl-1")
SOMEBODY = (*INSTANCES, "main", "main", "sync", "candidate")
SOME_POD = (*CONTROLLERS, "leader", "leader", "follower")
EVENTS = (
    "main_lost",
    "main_fenced",
    "main_promoted",
    "switchover_started",
    "renewal_started",
    "drained",
    "registration_opened",
    "sync_joined",
    "sync_lost",
    "leader_elected",
    "candidate_lost",
    "reset_ordered",
    "instance_refused",
)
STATEMENTS = ("promote", "demote", "register", "drop", "mark", "pin")
MOMENTS = (*EVENTS, *(f"sent {s}" for s in STATEMENTS), "a gateway starts", "voted")
"""Events of the ledger; a statement that has just left; a commit whose replicas have said yes."""


@frozen
class Fault:
    """One fault. `at_s` counts from the start of the plan; `when` (one of MOMENTS) delays it
    further, until the next such moment, and `after_s` a little beyond. `amount` and `detail` mean
    what the kind says."""

    at_s: float
    kind: str
    target: str = ""
    duration_s: float = 0.0
    amount: float = 0.0
    detail: str = ""
    when: str = ""
    after_s: float | None = None  # None: the world's dice say


@frozen
class Plan:
    """The faults of one seed, and what they are done to; `dead` stays dead when everything else is
    healed."""

    seed: int
    faults: tuple[Fault, ...]
    dead: str = ""
    durability: str = "preferred"
    renewal: str = "eager"
    is_early: bool = False  # faults begin with the first second, before there is a main
    is_bypassed: bool = False  # somebody writes around the gateways
    instances: int = 3
    controllers: int = 2
    mode: str = "strict_sync"
    reset: str = "safe"
    probe_interval_s: float = 0.25
    hurry_s: float = 0.05  # between probes while the main changes; a constant of the product
    clients: int = 2
    pace_s: float = 0.3  # between two writes of a client
    is_cut_often: bool = False  # old entries of the ledger move into archives early
    patience_s: float = 6.0  # then a client gives up on a session or an answer

    def to_json(self, **notes: str) -> str:
        """For a file: what differs from the defaults, a fault a line."""
        given = {**notes, **_plain(self)}
        faults = ",\n  ".join(json.dumps(fault) for fault in given.pop("faults"))
        head = json.dumps(given)[:-1]
        return head + ', "faults": [\n  ' + faults + "\n]}"

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """From a file."""
        given = json.loads(text)
        for note in ("why", "mistake"):  # for people, and for the test that plants it
            given.pop(note, None)
        faults = tuple(Fault(**f) for f in given.pop("faults"))
        return cls(faults=faults, **given)


def _plain(plan: Plan) -> dict[str, Any]:
    defaults = {f.name: f.default for f in fields(Plan)}
    shown = {k: v for k, v in asdict(plan).items() if v != defaults[k]}
    return {**shown, "faults": [short(f) for f in plan.faults]}


def short(fault: Fault) -> dict[str, Any]:
    """A fault without what it does not say."""
    defaults = {f.name: f.default for f in fields(Fault)}
    return {k: v for k, v in asdict(fault).items() if v != defaults[k]}


# kind -> (weight, who may be hit, shortest and longest duration)
KINDS: dict[str, tuple[int, tuple[str, ...], float, float]] = {
    "kill": (14, SOMEBODY, 0.3, 6.0),
    "hang": (7, SOMEBODY, 0.5, 10.0),
    "delete_pod": (8, SOMEBODY, 0.0, 0.0),
    "rolling_restart": (3, ("",), 0.0, 0.0),
    "force_delete": (3, SOMEBODY, 0.0, 3.0),
    "node_loss": (4, SOMEBODY, 3.0, 15.0),
    "disk_loss": (3, SOMEBODY, 0.5, 4.0),
    "guard_fails": (3, SOMEBODY, 0.3, 3.0),
    "kill_controller": (8, SOME_POD, 0.2, 8.0),
    "pause_controller": (8, SOME_POD, 0.5, 9.0),
    "pause_relay": (5, SOME_POD, 0.5, 9.0),
    "pause_at_command": (6, ("leader",), 0.5, 5.0),
    "new_controller": (3, ("",), 5.0, 12.0),
    "isolate": (8, (*SOMEBODY, *SOME_POD), 1.0, 12.0),
    "cut_link": (8, SOMEBODY, 1.0, 10.0),
    "one_way": (6, SOMEBODY, 1.0, 10.0),
    "ring": (2, ("",), 2.0, 9.0),
    "api_down": (5, ("", *SOME_POD), 1.0, 12.0),
    "api_flaky": (6, ("", *SOME_POD), 2.0, 10.0),
    "api_late": (4, ("", *SOME_POD), 2.0, 8.0),
    "watch_lag": (5, ("", *SOME_POD), 2.0, 10.0),
    "slow_replication": (6, ("",), 2.0, 10.0),
    "late_commands": (8, ("",), 2.0, 10.0),
    "clock_jump": (2, SOME_POD, 0.0, 0.0),
    "lease_deleted": (3, ("leader lease", "gateway lease"), 0.0, 0.0),
    "ledger_edited": (2, ("",), 0.0, 0.0),
    "ask_switchover": (4, ("", "sync", *INSTANCES), 0.0, 0.0),
    "ask_pause": (2, ("",), 1.0, 12.0),
    "ask_observe": (1, ("",), 1.0, 10.0),
    "ask_failover": (1, SOMEBODY, 0.0, 0.0),
    "ask_reinit": (2, SOMEBODY, 0.0, 0.0),
    "ask_durability": (1, ("",), 0.0, 0.0),
}
