"""What goes wrong, as a list of values: drawn from a seed, stored, shrunk, replayed.

What a newcomer gets wrong: a fault names whom it hits by role where that matters ("main",
"leader"), so that a shrunk list still hits what it hit before.
"""

import json
from random import Random

from attrs import asdict, frozen

INSTANCES = ("memgraph-0", "memgraph-1", "memgraph-2")
CONTROLLERS = ("ctl-0", "ctl-1")
SOMEBODY = (*INSTANCES, "main", "main", "sync", "candidate")
SOME_POD = (*CONTROLLERS, "leader", "leader")
MOMENTS = (
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
)


@frozen
class Fault:
    """One fault. `at_s` counts from the start of the plan; `when` (an event of the ledger) delays
    it further, until the next such event. `amount` and `detail` mean what the kind says."""

    at_s: float
    kind: str
    target: str = ""
    duration_s: float = 0.0
    amount: float = 0.0
    detail: str = ""
    when: str = ""


@frozen
class Plan:
    """The faults of one seed; `dead` stays dead when everything else is healed."""

    seed: int
    faults: tuple[Fault, ...]
    dead: str = ""
    durability: str = "preferred"
    renewal: str = "eager"
    is_early: bool = False  # faults begin with the first second, before there is a main
    is_bypassed: bool = False  # somebody writes around the gateways

    def to_json(self) -> str:
        """For a file."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """From a file."""
        given = json.loads(text)
        given.pop("why", None)  # for people
        faults = tuple(Fault(**f) for f in given.pop("faults"))
        return cls(faults=faults, **given)


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
    "watch_lag": (5, ("", *SOME_POD), 2.0, 10.0),
    "slow_replication": (6, ("",), 2.0, 10.0),
    "late_commands": (8, ("",), 2.0, 10.0),
    "clock_jump": (2, SOME_POD, 0.0, 0.0),
    "lease_deleted": (3, ("leader lease", "gateway lease"), 0.0, 0.0),
    "ledger_edited": (2, ("",), 0.0, 0.0),
}


def draw_plan(seed: int, minutes: float = 10.0) -> Plan:
    """The plan of a seed: bursts of faults close together, with quiet spells between them."""
    dice = Random(f"plan {seed}")
    faults: list[Fault] = []
    at_s = -60.0
    while True:
        at_s = max(0.0, at_s) + dice.uniform(30.0, 120.0) if at_s >= 0 else dice.uniform(0.0, 5.0)
        if at_s > minutes * 60 - 60:
            break
        for _ in range(dice.choice((1, 1, 2, 2, 3, 4))):
            faults.append(_draw(dice, at_s))
            at_s += dice.choice((0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0)) * (0.5 + dice.random())
    dead = dice.choice(("", "", *INSTANCES, *INSTANCES, *CONTROLLERS))
    durability = dice.choice(("preferred", "preferred", "preferred", "required"))
    renewal = dice.choice(("eager", "eager", "eager", "eager", "lazy", "off"))
    is_early, is_bypassed = dice.random() < 0.15, dice.random() < 0.1
    return Plan(seed, tuple(faults), dead, durability, renewal, is_early, is_bypassed)


def _draw(dice: Random, at_s: float) -> Fault:
    kind = dice.choices(tuple(KINDS), [row[0] for row in KINDS.values()])[0]
    _, who, low_s, high_s = KINDS[kind]
    when = dice.choice(MOMENTS) if dice.random() < 0.15 else ""
    return Fault(
        at_s=round(at_s, 2),
        kind=kind,
        target=dice.choice(who),
        duration_s=round(dice.uniform(low_s, high_s), 2),
        amount=round(dice.random(), 3),
        detail=dice.choice((*INSTANCES, *CONTROLLERS)),
        when=when,
    )
