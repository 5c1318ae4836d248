"""A plan of a seed: which kinds of faults meet, how often, and at which moments of the protocol.

Promise: every seed takes a random part of all kinds at random weights (a swarm: kinds that drown
each other out are apart in some seeds), its own cluster, settings and clients. What a newcomer gets
wrong: faults that fall evenly hit hardly ever between two events of a failover; so a third of the
bursts are stories: something that changes the main, and others that wait for a moment of just that.
"""

from random import Random

from attrs import evolve

from .plan import CONTROLLERS, INSTANCES, KINDS, MOMENTS, Fault, Plan

AFTER_S = (0.0, 0.0, 0.001, 0.002, 0.005, 0.01, 0.05, 0.5)
UNDOING = ("kill", "delete_pod", "isolate", "hang", "node_loss", "disk_loss", "guard_fails")
"""Kinds that make the main change when they hit it."""
DURING = (
    "pause_relay",
    "pause_controller",
    "kill_controller",
    "watch_lag",
    "api_down",
    "api_late",
    "pause_at_command",
    "late_commands",
    "new_controller",
    "lease_deleted",
    "kill",
    "guard_fails",
    "disk_loss",
    "one_way",
    "cut_link",
    "slow_replication",
)
"""Kinds that hurt in the middle of a change."""
ASKING = tuple(kind for kind in KINDS if kind.startswith("ask_"))


class _Drawer:
    """One seed's dice, and its part of the swarm."""

    def __init__(self, dice: Random, plan: Plan) -> None:
        self.dice, self.plan = dice, plan
        share = dice.choice((0.3, 0.5, 0.7, 1.0))
        kept = [kind for kind in KINDS if dice.random() < share and self._fits(kind)]
        self.kinds = kept or ["kill"]
        self.weights = [KINDS[k][0] * dice.choice((0.3, 1.0, 1.0, 3.0)) for k in self.kinds]
        self.aimed_share = dice.choice((0.05, 0.15, 0.4))
        self.story_share = dice.choice((0.0, 0.3, 0.6))
        self.story_kinds = [k for k in DURING if dice.random() < 0.5] or ["pause_relay"]

    def _fits(self, kind: str) -> bool:
        return kind not in ASKING or self.plan.seed % 3 == 0

    def burst(self, at_s: float) -> list[Fault]:
        """Some faults close together, from `at_s` on."""
        if self.dice.random() < self.story_share:
            return self._story(at_s)
        faults = []
        for _ in range(self.dice.choice((1, 1, 2, 2, 3, 4))):
            kind = self.dice.choices(self.kinds, self.weights)[0]
            aimed = self.dice.random() < self.aimed_share
            faults.append(self._fault(kind, at_s, self._moment() if aimed else ""))
            at_s += self.dice.choice((0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0)) * self._about_one()
        return faults

    def _story(self, at_s: float) -> list[Fault]:
        """The main changes, and something else happens just before or in the middle of it."""
        preludes = [self._nothing, self._deaf, self._deaf, self._stopped, self._newcomer]
        preludes += [self._hole, self._deposed, self._unheard] + [self._paused] * (
            self.plan.seed % 3 == 0
        )
        faults = self.dice.choice(preludes)(at_s)
        cause = self.dice.choice(UNDOING)
        who = self.dice.choice(("main", "main", "main", "sync"))
        begins_s = at_s + self.dice.choice((0.0, 0.3, 1.0, 3.0))
        faults.append(evolve(self._fault(cause, begins_s), target=who))
        for _ in range(self.dice.choice((0, 1, 1, 2, 3))):
            kind = self.dice.choice(self.story_kinds)
            when = self._moment() if self.dice.random() < 0.8 else ""
            faults.append(self._fault(kind, begins_s + self.dice.uniform(0.0, 0.5), when))
        return sorted(faults, key=lambda f: f.at_s)

    def _nothing(self, at_s: float) -> list[Fault]:
        return []

    def _deaf(self, at_s: float) -> list[Fault]:
        """A pod that hears nobody still serves; perhaps nobody remembers it."""
        deaf = self.dice.choice(("follower", "follower", "leader", "ctl-0", "ctl-1"))
        kind = self.dice.choice(("api_down", "api_down", "watch_lag", "api_late"))
        faults = [self._upon(kind, deaf, at_s)]
        if self.dice.random() < 0.5:
            faults.append(evolve(self._upon("lease_deleted", "gateway lease", at_s), detail=deaf))
        if self.dice.random() < 0.4:
            faults.append(self._upon("kill_controller", "leader", at_s + 0.1))
            if self.dice.random() < 0.7:
                faults.append(self._upon("lease_deleted", "leader lease", at_s + 0.2))
        return faults

    def _stopped(self, at_s: float) -> list[Fault]:
        """Answers wait in a process that stands still, for longer than anybody waits for it."""
        who = self.dice.choice(("follower", "follower", "leader"))
        slow = self._upon("slow_replication", "", at_s)
        return [slow, self._upon("pause_controller", who, at_s + self.dice.uniform(0.3, 1.0))]

    def _newcomer(self, at_s: float) -> list[Fault]:
        """A pod starts, and the API server is bad for it."""
        who = self.dice.choice(("follower", "ctl-0", "ctl-1"))
        bad = self._upon(self.dice.choice(("api_flaky", "api_late", "watch_lag")), who, at_s)
        starts = evolve(self._upon("kill_controller", who, at_s), duration_s=0.3)
        return [bad, starts]

    def _hole(self, at_s: float) -> list[Fault]:
        """The second phase of a commit is lost, and its main is cut off a moment later (S13)."""
        hole = evolve(self._fault("cut_link", at_s, "voted"), target="main", detail="sync")
        gone = self._upon("isolate", "main", at_s)
        return [
            evolve(hole, duration_s=8.0, after_s=0.0),
            evolve(gone, when="voted", after_s=self.dice.choice((0.005, 0.05, 0.3))),
        ]

    def _deposed(self, at_s: float) -> list[Fault]:
        """The leader stands still in the middle of a change, for longer than its Lease lasts."""
        middle = ("main_lost", "renewal_started", "main_fenced", "sent demote", "sent promote")
        pause = self._upon("pause_controller", "leader", at_s)
        return [evolve(pause, when=self.dice.choice(middle), after_s=self.dice.choice(AFTER_S[:5]))]

    def _unheard(self, at_s: float) -> list[Fault]:
        """Answers to commands are lost, and some commands land late."""
        return [self._upon("late_commands", "", at_s)]

    def _paused(self, at_s: float) -> list[Fault]:
        """Something that asks for a command, while nobody may give one (S15)."""
        stray = self._fault("guard_fails", at_s + 2.0)
        return [self._upon("ask_pause", "", at_s), evolve(stray, target="memgraph-1")]

    def _upon(self, kind: str, target: str, at_s: float) -> Fault:
        """Long and strong."""
        fault = self._fault(kind, at_s)
        long_s = round(self.dice.uniform(6.0, 12.0), 2)
        amount = round(0.6 + 0.4 * self.dice.random(), 3)
        return evolve(fault, target=target, duration_s=long_s, amount=amount)

    def _moment(self) -> str:
        return self.dice.choice(MOMENTS)

    def _about_one(self) -> float:
        return 0.5 + self.dice.random()

    def _fault(self, kind: str, at_s: float, when: str = "") -> Fault:
        _, who, low_s, high_s = KINDS[kind]
        return Fault(
            at_s=round(at_s, 2),
            kind=kind,
            target=self._somebody(who),
            duration_s=round(self.dice.uniform(low_s, high_s), 2),
            amount=round(self.dice.random(), 3),
            detail=self.dice.choice((*INSTANCES, *CONTROLLERS)),
            when=when,
            after_s=self.dice.choice(AFTER_S) if when else None,
        )

    def _somebody(self, who: tuple[str, ...]) -> str:
        """Also those whom only a larger cluster has."""
        chosen = self.dice.choice(who)
        more = [f"memgraph-{n}" for n in range(3, self.plan.instances)]
        if chosen == "memgraph-2" and more and self.dice.random() < 0.5:
            return self.dice.choice(more)
        if chosen == "ctl-1" and self.plan.controllers > 2 and self.dice.random() < 0.5:
            return "ctl-2"
        return chosen


def draw_plan(seed: int, minutes: float = 10.0) -> Plan:
    """The plan of a seed: bursts of faults close together, with quiet spells between them."""
    dice = Random(f"plan {seed}")
    plan = _cluster(dice, seed)
    drawer = _Drawer(dice, plan)
    faults: list[Fault] = []
    low_s, high_s = dice.choice(((10.0, 40.0), (20.0, 80.0), (30.0, 120.0)))
    at_s = dice.uniform(0.0, 5.0)
    while at_s < max(minutes * 60 - 60, 30.0):
        burst = drawer.burst(at_s)
        faults += burst
        at_s = max(f.at_s for f in burst) + dice.uniform(low_s, high_s)
    return evolve(plan, faults=tuple(faults))


def _cluster(dice: Random, seed: int) -> Plan:
    """Everything but the faults."""
    often = dice.choices
    return Plan(
        seed,
        (),
        dead=dice.choice(("", "", *INSTANCES, *INSTANCES, *CONTROLLERS)),
        durability=often(("preferred", "required"), (3, 1))[0],
        renewal=often(("eager", "lazy", "off"), (4, 1, 1))[0],
        is_early=dice.random() < 0.15,
        is_bypassed=dice.random() < 0.1,
        instances=often((3, 4, 5), (6, 1, 1))[0],
        controllers=often((2, 3), (3, 1))[0],
        mode=often(("strict_sync", "sync"), (9, 1))[0],
        reset=often(("safe", "always", "off"), (4, 1, 1))[0],
        probe_interval_s=often((0.25, 0.5, 1.0), (1, 1, 1))[0],
        hurry_s=often((0.05, 0.1, 0.2), (1, 1, 1))[0],
        clients=often((2, 1, 4), (4, 1, 1))[0],
        pace_s=dice.choice((0.2, 0.3, 0.5, 1.0)),
        is_cut_often=dice.random() < 0.3,
        patience_s=dice.choice((2.0, 6.0, 20.0)),
    )


__all__ = ["KINDS", "Fault", "Plan", "draw_plan"]
