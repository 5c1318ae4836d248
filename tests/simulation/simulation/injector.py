"""Does to a cluster what a fault says, and undoes it when its time is over or all is healed.

What a newcomer gets wrong: faults overlap. Each undoes its own part alone.
"""

import math
from collections.abc import Callable

import trio

from .cluster import RELEASE, Cluster
from .link import Delay
from .memgraph import RPC_S
from .network import API
from .people import People
from .plan import Fault
from .transport import Trouble

FLAKY = (
    Trouble.BUSY,
    Trouble.FAILS,
    Trouble.FAILED_LATE,
    Trouble.DROPPED,
    Trouble.UNANSWERED,
    Trouble.LATE,
    Trouble.DOUBLED,
    Trouble.DOWN,
)
Undo = Callable[[], None]


class Injector:
    """Owned by the director."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.dice = cluster.dice
        self.applied = 0
        self._undo: dict[int, Undo] = {}
        self._numbers = 0
        self._down: list[str] = []  # pods without API server; "" = all
        self._flaky: list[tuple[str, float]] = []
        self._lags: list[tuple[str, float]] = []
        self._late: list[float] = []
        self._pauses: list[float] = []
        self._late_api: list[str] = []
        self._unguarded: set[str] = set()
        path = f"{cluster.names.config_maps_path}/{cluster.names.requests}"
        self.people = People(cluster.api, path, RELEASE)
        cluster.api_trouble = self._trouble
        cluster.watch_lag_s = self._lag_s
        cluster.links.delay = self._delay
        cluster.links.before_change = self._before_change
        cluster.kubelet.is_api_up = lambda: "" not in self._down
        cluster.kubelet.is_guarded = self._is_guarded

    @property
    def active(self) -> int:
        """Faults that last."""
        return len(self._undo)

    def apply(self, fault: Fault) -> None:
        """Do it now."""
        target = self._resolve(fault.target)
        if target.startswith("memgraph-") and target not in self.cluster.instances.by_name:
            return  # a stored plan of a larger cluster
        self.applied += 1
        self.cluster.note(f"FAULT {fault.kind} {target} {fault.duration_s:g} s")
        undo: Undo | None = getattr(self, f"_{fault.kind}")(fault, target)
        if undo is not None:
            self._numbers += 1
            number = self._numbers
            self._undo[number] = undo
            self.cluster.spawn(self._end_later, number, fault.duration_s)

    async def _end_later(self, number: int, duration_s: float) -> None:
        await trio.sleep(duration_s)
        if undo := self._undo.pop(number, None):
            undo()

    def heal_all(self) -> None:
        """Nothing is wrong any more (but what takes time to come back)."""
        for number in list(self._undo):
            self._undo.pop(number)()
        for state in (self._down, self._flaky, self._lags, self._late, self._pauses):
            state.clear()
        self._late_api.clear()
        self._unguarded.clear()
        self.cluster.network.heal_all()

    # -- who

    def _resolve(self, target: str) -> str:
        head = self.cluster.books.head
        main = head.get("main") or "memgraph-0"
        match target:
            case "main":
                return main
            case "sync":
                return next((x for x in head.get("sync", ()) if x != main), "memgraph-1")
            case "candidate":
                return head.get("data", {}).get("candidate") or "memgraph-1"
            case "leader":
                return self._leader()
            case "follower":
                pods = sorted(x.name for x in self.cluster.living())
                return next((x for x in pods if x != self._leader()), "ctl-1")
        return target

    def _leader(self) -> str:
        return self.cluster.lease_holder() or "ctl-0"

    # -- instances

    def _kill(self, fault: Fault, target: str) -> None:
        self.cluster.kubelet.crash(target, fault.duration_s)

    def _hang(self, fault: Fault, target: str) -> Undo:
        instance = self.cluster.instance(target)
        instance.hang()
        return instance.go_on

    def _delete_pod(self, fault: Fault, target: str) -> None:
        self.cluster.kubelet.delete(target)

    def _rolling_restart(self, fault: Fault, target: str) -> None:
        self.cluster.spawn(self._roll)

    async def _roll(self) -> None:
        """By StatefulSet rules: from the highest ordinal, each after the last one is ready."""
        kubelet = self.cluster.kubelet
        for name in sorted(kubelet.pods, reverse=True):
            before = kubelet.pods[name]
            kubelet.delete(name)
            with trio.move_on_after(120.0):
                while kubelet.pods[name] is before or kubelet.pods[name].state != "running":
                    await trio.sleep(0.5)

    def _force_delete(self, fault: Fault, target: str) -> None:
        self.cluster.kubelet.force_delete(target, fault.duration_s)

    def _node_loss(self, fault: Fault, target: str) -> Undo:
        kubelet = self.cluster.kubelet
        kubelet.lose_node(target)
        return lambda: kubelet.find_node(target)

    def _disk_loss(self, fault: Fault, target: str) -> None:
        instance = self.cluster.instance(target)
        self.cluster.kubelet.crash(target, fault.duration_s)
        if not instance.is_up:
            self.cluster.books.lost_disk(target)
            instance.lose_disk()

    def _guard_fails(self, fault: Fault, target: str) -> None:
        self._unguarded.add(target)
        self.cluster.kubelet.crash(target, fault.duration_s)

    def _is_guarded(self, name: str) -> bool:
        if name in self._unguarded:
            self._unguarded.discard(name)
            return False
        return True

    # -- controllers

    def _kill_controller(self, fault: Fault, target: str) -> None:
        if self.cluster.life_of(target) is None:
            return
        self.cluster.kill_controller(target)
        self.cluster.spawn(self._start_controller_later, target, fault.duration_s)

    async def _start_controller_later(self, name: str, after_s: float) -> None:
        await trio.sleep(after_s)
        if self.cluster.life_of(name) is None and name not in self.cluster.dead_for_good:
            self.cluster.start_controller(name)

    def _pause_controller(self, fault: Fault, target: str) -> Undo | None:
        life = self.cluster.life_of(target)
        if life is None or self.cluster.freezer.is_frozen(life.actor):
            return None
        self.cluster.freezer.freeze(life.actor)
        return lambda: self.cluster.freezer.thaw(life.actor)

    def _pause_relay(self, fault: Fault, target: str) -> Undo | None:
        """The relay's process alone, where it is one of its own."""
        life = self.cluster.life_of(target)
        actor = life.gateways.relay.actor if life else ""
        if not actor or self.cluster.freezer.is_frozen(actor):
            return None
        self.cluster.freezer.freeze(actor)
        return lambda: self.cluster.freezer.thaw(actor)

    def _pause_at_command(self, fault: Fault, target: str) -> Undo:
        """Frozen right after the look at the reign, before the statement leaves (S9)."""
        self._pauses.append(fault.amount * 12.0)
        return lambda: self._pauses.clear()

    def _before_change(self, actor: str, statement: str) -> None:
        if not self._pauses or self.cluster.freezer.is_frozen(actor) or self.dice.random() < 0.5:
            return
        pause_s = self._pauses.pop()
        self.cluster.note(f"{actor} frozen {pause_s:.1f} s before it says {statement}")
        self.cluster.freezer.freeze(actor)
        self.cluster.spawn(self._thaw_later, actor, pause_s)

    async def _thaw_later(self, actor: str, after_s: float) -> None:
        await trio.sleep(after_s)
        self.cluster.freezer.thaw(actor)

    def _new_controller(self, fault: Fault, target: str) -> Undo | None:
        name = f"ctl-{2 + int(fault.amount * 3)}"
        if self.cluster.life_of(name) is not None:
            return None
        self.cluster.start_controller(name)

        def leave() -> None:
            self.cluster.kill_controller(name)
            self.cluster.api.remove(f"{self.cluster.names.pods_path}/{name}")

        return leave

    # -- network

    def _everybody(self) -> list[str]:
        pods = [x.name for x in self.cluster.living()]
        return [*self.cluster.instances.by_name, *pods]

    def _isolate(self, fault: Fault, target: str) -> Undo:
        others = [x for x in (*self._everybody(), API) if x != target]
        return self._cut(tuple((a, b) for x in others for a, b in ((target, x), (x, target))))

    def _cut_link(self, fault: Fault, target: str) -> Undo:
        other = self._resolve(fault.detail)
        return self._cut(((target, other), (other, target)))

    def _one_way(self, fault: Fault, target: str) -> Undo:
        pair = (target, fault.detail)
        return self._cut((pair if fault.amount < 0.5 else pair[::-1],))

    def _ring(self, fault: Fault, target: str) -> Undo:
        """Each reaches all but the next one."""
        nodes = self._everybody()
        return self._cut(tuple(zip(nodes, [*nodes[1:], nodes[0]], strict=True)))

    def _cut(self, pairs: tuple[tuple[str, str], ...]) -> Undo:
        self.cluster.network.cut(pairs)
        return lambda: self.cluster.network.heal(pairs)

    # -- API server

    def _trouble(self, pod: str, method: str, path: str) -> Trouble | None:
        if self._down and ("" in self._down or pod in self._down):
            return Trouble.DOWN
        is_late = method in ("PUT", "POST") and ("" in self._late_api or pod in self._late_api)
        if is_late and self.dice.random() < 0.5:
            return Trouble.LATE
        for who, share in self._flaky:
            if who in ("", pod) and self.dice.random() < share:
                return self.dice.choice(FLAKY)
        return None

    def _lag_s(self, pod: str, path: str) -> float:
        for who, lag_s in self._lags:
            if who in ("", pod):
                return lag_s if self.dice.random() < 0.8 else math.inf
        return 0.001 + 0.003 * self.dice.random()

    def _api_down(self, fault: Fault, target: str) -> Undo:
        self._down.append(target)
        return lambda: self._down.remove(target) if target in self._down else None

    def _api_flaky(self, fault: Fault, target: str) -> Undo:
        entry = (target, 0.02 + 0.3 * fault.amount)
        self._flaky.append(entry)
        return lambda: self._flaky.remove(entry) if entry in self._flaky else None

    def _api_late(self, fault: Fault, target: str) -> Undo:
        """Writes are carried out long after their sender has given up."""
        self._late_api.append(target)
        return lambda: self._late_api.remove(target) if target in self._late_api else None

    def _watch_lag(self, fault: Fault, target: str) -> Undo:
        entry = (target, 8.0 * fault.amount)
        self._lags.append(entry)
        return lambda: self._lags.remove(entry) if entry in self._lags else None

    def _lease_deleted(self, fault: Fault, target: str) -> None:
        """The leader's, or a gateway's: `detail` may name its pod."""
        cluster, names = self.cluster, self.cluster.names
        leader = f"{names.leases_path}/{names.leader_lease}"
        if target == "leader lease":
            cluster.rules.deposed_at_s = trio.current_time()
            cluster.api.remove(leader)
            return
        paths = [p for p in cluster.lease_paths() if p != leader]
        pod = self._resolve(fault.detail)
        named = [p for p in paths if p.endswith(f"-{pod}")]
        if chosen := named or paths:
            cluster.api.remove(chosen[int(fault.amount * len(chosen)) % len(chosen)])

    def _ledger_edited(self, fault: Fault, target: str) -> None:
        """By hand: deleted, cut, or a line changed."""
        cluster, path = self.cluster, self.cluster.ledger_path()
        stored = cluster.api.objects.get(path)
        if stored is None:
            return
        data = dict(stored["data"])
        last = max(key for key in data if key.isdecimal())
        cluster.rules.edited_at_s = trio.current_time()
        cluster.books.is_hand_edit = True
        if fault.amount < 0.3:
            cluster.api.remove(path)
        else:
            if fault.amount < 0.6:
                del data[last]
            else:
                data[last] = data[last].replace('"why":"', '"why":"(edited) ', 1)
            cluster.api.put(path, {**stored, "data": data})
        cluster.books.is_hand_edit = False

    # -- commands

    def _slow_replication(self, fault: Fault, target: str) -> Undo:
        """Between instances: much may happen inside of one commit then."""
        self.cluster.instances.rpc_s = 0.002 + 0.3 * fault.amount**2

        def undo() -> None:
            self.cluster.instances.rpc_s = RPC_S

        return undo

    def _late_commands(self, fault: Fault, target: str) -> Undo:
        share = 0.1 + 0.4 * fault.amount
        self._late.append(share)
        return lambda: self._late.remove(share) if share in self._late else None

    def _delay(self, sender: str, to: str, statement: str) -> Delay | None:
        if not self._late or self.dice.random() >= self._late[0]:
            return None
        if self.dice.random() < 0.5:
            return Delay(is_answer_lost=True)
        return Delay(late_s=self.dice.choice((0.05, 0.5, 2.0, 4.5, 9.0, 12.0)))

    def _clock_jump(self, fault: Fault, target: str) -> None:
        """Wall time alone: nothing may depend on it."""
        self.cluster.skews_s[target] = 86400.0 * (fault.amount - 0.5)

    # -- people

    def _ask_switchover(self, fault: Fault, target: str) -> None:
        self.people.switchover(target)

    def _ask_failover(self, fault: Fault, target: str) -> None:
        self.people.failover(target)

    def _ask_reinit(self, fault: Fault, target: str) -> None:
        self.people.reinit(target)

    def _ask_durability(self, fault: Fault, target: str) -> None:
        self.people.durability("required" if fault.amount < 0.5 else "preferred")

    def _ask_pause(self, fault: Fault, target: str) -> Undo:
        self.people.pause()
        return self.people.resume

    def _ask_observe(self, fault: Fault, target: str) -> Undo:
        self.people.observe("on")
        return lambda: self.people.observe("off")
