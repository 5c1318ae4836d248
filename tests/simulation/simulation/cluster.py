"""The whole world: API server, instances, kubelet, network, controller pods, clients, books.

Promise: everything outside of the product's own code hangs together in here. A controller pod lives
several lives, each an actor of its own; a dead one hears and sends nothing. Drift: a clock of rate
r makes every duration of its pod 1/r as long, for only durations matter to the product.
"""

import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from random import Random
from typing import Any
from unittest import mock

import trio
from attrs import define, field

import controller.memgraph.instance
import controller.memgraph.registrations
import controller.prober
from controller.kube import (
    KubeGatewayLeases,
    KubeInformers,
    KubeLedgerArchives,
    KubeLedgerStore,
    KubeNames,
    KubePodControl,
    KubeRequests,
    KubeTimes,
    LeaseLeadership,
)
from controller.kube.transport import Json
from controller.memgraph import BoltInstances, MemgraphAccess
from controller.pod import Adapters, ControllerPod, PodSettings, Reign
from statemachine.archive import LIMITS, Limits
from statemachine.ids import Durability, Instance, Mode, Role
from statemachine.plan import plan
from statemachine.prestop import may_stop
from statemachine.view import Policy

from .actors import Freezer, _actor, become_actor
from .api import Api
from .books import Books
from .clients import Bypasser, Client, Reader
from .dice import wall_clock, wall_text
from .doors import Doors
from .kubelet import Kubelet, controller_pod_object
from .link import Links, link_class, verb_of
from .memgraph import Instances, Memgraph
from .network import Network
from .plan import Plan
from .relay import Relay
from .replication import PING_S, look_after_rows
from .rulebook import rules_of
from .sim_gateways import SimGateways
from .transport import ApiRoad, Trouble

DRIFT_MAX = 0.03  # of a clock's rate, either way; the product allows 4 s against 5 s
SMALL = Limits(segment_entries=16, live_entries=40)  # so that the ledger is cut several times
RELEASE, NAMESPACE, SET = "mg", "default", "memgraph"


@define(eq=False)
class Life:
    """One process of one controller pod."""

    name: str
    actor: str
    gateways: SimGateways
    scope: trio.CancelScope = field(factory=lambda: trio.CancelScope())
    pod: ControllerPod | None = None
    is_dead: bool = False


class Cluster:
    """Owned by one run. Faults reach into it; `run` keeps it going until cancelled."""

    def __init__(self, dice: Random, shape: Plan, note: Callable[[str], None]) -> None:
        self.dice, self.shape, self.note = dice, shape, note
        self.network, self.freezer, self.api = Network(), Freezer(), Api()
        self.names = self._names("world", "world")
        self.instances = Instances(self.network, dice, self.spawn)
        self.instances.note = note
        self.links = Links(self.instances, lambda actor: actor.partition("#")[0])
        self.kubelet = Kubelet(self.api, self.names, self.instances, dice, self.spawn)
        self.kubelet.may_stop = self._may_stop
        self.instances.crash = self.kubelet.crash
        looks_s = 2 * (shape.probe_interval_s + 1.25)  # as in `fresh_s`
        moment_s = looks_s / (1.0 - DRIFT_MAX)
        self.books = Books({}, note, lambda: self.api.under_way_s, moment_s=moment_s)
        self.kubelet.on_wipe = self.books.wiped
        self.api.on_write = self._on_write
        self.rules = rules_of(self.books, relays=self.living_relays, holder=self.lease_holder)
        self.doors = Doors(self.books, self.names)
        self.links.on_sent, self.links.on_answered = self._on_sent, self.rules.answered
        self.instances.on_moment = lambda moment: self.on_moment(moment)
        self.instances.on_commit = self.rules.committed
        self.lives: dict[str, Life] = {}
        self.skews_s: dict[str, float] = {}
        self.dead_for_good: set[str] = set()
        self.backup: Json | None = None  # the ledger's object as a controller wrote it last
        self.on_moment: Callable[[str], None] = lambda moment: None
        self.api_trouble: Callable[[str, str, str], Trouble | None] = lambda *_: None
        self.watch_lag_s: Callable[[str, str], float] | None = None
        self._lives_begun = itertools.count(1)
        self._writes = itertools.count(1)
        self._nursery: trio.Nursery | None = None
        self.clients: list[Client] = []
        self.reader: Reader | None = None
        self.road = ApiRoad(
            api=self.api,
            network=self.network,
            spawn=self.spawn,
            latency_s=lambda: 0.001 + 0.002 * dice.random(),
            is_dead=lambda actor: actor in self.lives and self.lives[actor].is_dead,
            trouble=lambda pod, method, path: self.api_trouble(pod, method, path),
            late_s=lambda: dice.choice((0.5, 2.0, 4.0)),
            watch_lag_s=self._watch_lag_s,
            on_executed=self.doors.executed,
        )

    def _names(self, pod: str, uid: str) -> KubeNames:
        return KubeNames(RELEASE, NAMESPACE, SET, pod, uid)

    def _watch_lag_s(self, pod: str, path: str) -> float:
        return (
            self.watch_lag_s(pod, path) if self.watch_lag_s else 0.001 + 0.003 * self.dice.random()
        )

    def spawn(self, run: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """A task of the world's own, whoever asks for it."""
        assert self._nursery is not None, "run() is under way"
        token = _actor.set("")
        self._nursery.start_soon(run, *args)
        _actor.reset(token)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The simulated connection in the place of the real one."""
        with ExitStack() as stack:
            stack.enter_context(self.freezer.installed())
            patch = mock.patch.object
            stack.enter_context(patch(controller.memgraph.instance, "Link", link_class(self.links)))
            stack.enter_context(patch(controller.prober, "HURRY_S", self.shape.hurry_s))
            listening = self.links.require_listening
            room = controller.memgraph.registrations
            stack.enter_context(patch(room, "require_listening", listening))
            yield

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Everything but faults, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for number in range(self.shape.instances):
                self._add_instance(Instance(f"{SET}-{number}"))
            for number in range(self.shape.controllers):
                self.start_controller(f"ctl-{number}")
            nursery.start_soon(self._keep_rows)
            for number in range(self.shape.clients):
                self._add_client(f"client-{number}", nursery)
            self.reader = Reader(Random(self.dice.random()), self.books, self.living_relays)
            nursery.start_soon(self.reader.run)
            if self.shape.is_bypassed:
                nursery.start_soon(Bypasser(Random(self.dice.random()), self.instances).run)
            task_status.started()
            await trio.sleep_forever()

    def _add_instance(self, name: Instance) -> None:
        instance = Memgraph(name, self.instances, "")
        self.instances.by_name[name] = instance
        self.books.instances[name] = instance
        self.kubelet.create(instance)

    def _add_client(self, name: str, nursery: trio.Nursery) -> None:
        dice = Random(self.dice.random())
        client = Client(
            name, dice, self.books, self.living_relays, lambda: next(self._writes), self.shape
        )
        self.clients.append(client)
        nursery.start_soon(client.run)

    async def _keep_rows(self) -> None:
        while True:
            await trio.sleep(PING_S)
            for instance in self.instances.by_name.values():
                if instance.is_up and not instance.is_hung and instance.role is Role.MAIN:
                    look_after_rows(instance)

    # -- controller pods

    def start_controller(self, name: str) -> Life:
        """A new life of the pod `name`, a new pod if it never lived."""
        path = f"{self.names.pods_path}/{name}"
        uid = f"uid-{name}"
        self.api.put(path, controller_pod_object(self.names, name, uid))
        actor = f"{name}#{next(self._lives_begun)}"
        relay_actor = actor if self.dice.random() < 0.5 else f"{actor}/relay"
        relay = Relay(
            name,
            relay_actor,
            self.instances,
            self.network,
            self.freezer,
            self.books.opened,
            self.books.led,
        )
        gateways = SimGateways(relay, actor, self.freezer, self.spawn)
        gateways.on_told = self.doors.told
        life = Life(name, actor, gateways)
        self.lives[actor] = life
        self.spawn(self._live, life, uid)
        return life

    def kill_controller(self, name: str) -> None:
        """SIGKILL of its process."""
        life = self.life_of(name)
        if life is not None:
            life.is_dead = True
            life.gateways.relay.end()
            self.freezer.thaw(life.gateways.relay.actor)
            self.freezer.thaw(life.actor)
            life.scope.cancel()

    def life_of(self, name: str) -> Life | None:
        """The living process of the pod."""
        return next((x for x in self.lives.values() if x.name == name and not x.is_dead), None)

    def living(self) -> list[Life]:
        """All processes that run."""
        return [x for x in self.lives.values() if not x.is_dead]

    def living_relays(self) -> list[Relay]:
        """Where clients may knock."""
        return [x.gateways.relay for x in self.living()]

    async def _live(self, life: Life, uid: str) -> None:
        become_actor(life.actor)
        rate = 1.0 + self.dice.uniform(-DRIFT_MAX, DRIFT_MAX)
        reign = Reign()
        access = MemgraphAccess(probe_timeout_s=1.0 / rate)
        memgraph = BoltInstances(access, reign.is_on, reign.present_term)
        with life.scope:
            async with memgraph.running():
                adapters = self._adapters(life, uid, rate, memgraph)
                every_s = self.shape.probe_interval_s / rate
                settings = PodSettings(
                    life.name,
                    self._policy(rate),
                    7687,
                    every_s,
                    4.0 / rate,
                    limits=SMALL if self.shape.is_cut_often else LIMITS,
                )
                gateways: Any = life.gateways
                wall = self._wall(life.name)
                life.pod = ControllerPod(
                    settings, adapters, gateways, reign, lambda: wall().timestamp()
                )
                life.pod.loop.chronicle._now = wall_text
                self.on_moment("a gateway starts")
                await life.pod.run()
        life.is_dead = True
        life.gateways.relay.end()

    def _policy(self, rate: float) -> Policy:
        return Policy(
            eligible=(Instance(f"{SET}-0"), Instance(f"{SET}-1")),
            durability=Durability(self.shape.durability),
            mode=Mode(self.shape.mode),
            reset=self.shape.reset,
            cluster_name=RELEASE,
            main_grace_s=2.0 / rate,
            sync_grace_s=3.0 / rate,
            fresh_s=(self.shape.probe_interval_s + 1.25) / rate,
            gateway_barrier_s=5.0 / rate,
            renewal=self.shape.renewal,
        )

    def _adapters(self, life: Life, uid: str, rate: float, memgraph: BoltInstances) -> Adapters:
        names, transport = self._names(life.name, uid), self.road.client(life.name)
        times = KubeTimes(
            lease_duration_s=5.0 / rate, renew_deadline_s=3.5 / rate, retry_s=1.0 / rate
        )
        now = self._wall(life.name)
        jitter = Random(self.dice.random()).random
        return Adapters(
            store=KubeLedgerStore(transport, names, times),
            leases=KubeGatewayLeases(transport, names, times, now),
            informers=KubeInformers(transport, names, times, jitter),
            leadership=LeaseLeadership(transport, names, times, jitter=jitter, now=now),
            pods=KubePodControl(transport, names, times),
            memgraph=memgraph,
            requests=KubeRequests(transport, names, times, jitter),
            archives=KubeLedgerArchives(transport, names, times),
        )

    def _wall(self, name: str) -> Callable[[], datetime]:
        return wall_clock(lambda: self.skews_s.get(name, 0.0))

    def tell_beliefs(self) -> None:
        """For who reads the trace: nobody judges by it."""
        for instance in self.instances.by_name.values():
            rows = [f"{r.name} {r.mode.value} {r.status.value}" for r in instance.rows.values()]
            state = "up" if instance.is_up else "down"
            role, ldt = instance.role.value, instance.storage.ldt
            self.note(f"WORLD {instance.name} {state} {role} ldt {ldt} rows {rows}")
        for life in self.living():
            loop = life.pod.loop if life.pod else None
            if loop is None:
                continue
            leads = bool(loop.view.identity)
            self.note(f"BELIEF {life.name} leads={leads} {[r.reason for r in loop.refusals]}")
            if leads:
                self.note(f"BELIEF {life.name} owes {plan(loop.cluster, loop.view)}")

    # -- what the world's own parts ask

    def _may_stop(self, name: str) -> bool:
        """The preStop hook asks the Service: any living pod answers by its own fold."""
        answering = [x for x in self.living() if not self.freezer.is_frozen(x.actor) and x.pod]
        if not answering:
            return False
        life = self.dice.choice(answering)
        assert life.pod is not None
        loop = life.pod.loop
        return may_stop(loop.cluster, loop.view, Instance(name)).is_safe

    def _on_write(self, method: str, path: str, old: Any, new: Any) -> None:
        if path.endswith(f"/{self.names.ledger}") and new is not None:
            self.books.ledger_written(new["data"])
            self.backup = self.backup if self.books.is_hand_edit else new

    def _on_sent(self, actor: str, peer: Memgraph, process: int, statement: str) -> None:
        self.rules.sent(actor, peer, process, statement)
        self.on_moment(f"sent {verb_of(statement)}")

    def instance(self, name: str) -> Memgraph:
        """By its name."""
        return self.instances.by_name[Instance(name)]

    def ledger_path(self) -> str:
        """The live ledger's object."""
        return f"{self.names.config_maps_path}/{self.names.ledger}"

    def reads(self) -> int:
        """Queries that read-only sessions got answered."""
        return self.reader.reads if self.reader else 0

    def lease_holder(self) -> str:
        """The pod that the leader's Lease names; "" = none."""
        path = f"{self.names.leases_path}/{self.names.leader_lease}"
        lease = self.api.objects.get(path) or {}
        return str(lease.get("spec", {}).get("holderIdentity") or "").partition("/")[0]

    def lease_paths(self) -> list[str]:
        """All Leases."""
        return [p for p in self.api.objects if p.startswith(self.names.leases_path + "/")]
