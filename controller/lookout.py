"""How a pod sees the instances: a prober for each that was ever seen, and the way to reach one.

What a newcomer gets wrong: every pod looks by itself, leader or not. A gateway trusts its own
pod's eyes alone.
"""

from collections.abc import Callable

import trio

from controller.errors import MemgraphUnreachable
from controller.ports import MemgraphInstance, MemgraphInstances
from controller.prober import Prober
from statemachine import commands as c
from statemachine.cluster import Cluster
from statemachine.commands import Command
from statemachine.ids import Instance, Phase
from statemachine.observations import CommandEnded, Observation, PodFacts
from statemachine.view import View


class Lookout:
    """`follow` is called by the loop after each event and turn; `start` before its first one."""

    def __init__(
        self,
        memgraph: MemgraphInstances,
        known: Callable[[], tuple[Cluster, View]],
        report: Callable[[Observation], None],
        interval_s: float,
    ) -> None:
        self._memgraph, self._known = memgraph, known
        self._report, self._interval_s = report, interval_s
        self._probers: dict[Instance, Prober] = {}
        self._pods_seen: dict[Instance, PodFacts | None] = {}
        self._nursery: trio.Nursery | None = None

    def start(self, nursery: trio.Nursery) -> None:
        """Probers run in there."""
        self._nursery = nursery

    def reach(self, instance: Instance) -> MemgraphInstance | None:
        """None: its pod has no IP, and no socket is opened for such a one (scenario 6)."""
        pod = self._known()[1].instance(instance).pod
        if pod is None or not pod.ip:
            return None
        return self._memgraph.at(instance, pod.ip)

    def reach_now(self, instance: Instance) -> MemgraphInstance:
        """Raises MemgraphUnreachable: its pod has no IP."""
        reached = self.reach(instance)
        if reached is None:
            raise MemgraphUnreachable(f"{instance} has no IP", refused=True)
        return reached

    def follow(self, cluster: Cluster, view: View) -> None:
        """One prober for each instance that was ever seen; it asks at once when the API server
        says something new of the pod."""
        assert self._nursery is not None, "the loop runs in the nursery"
        for seen in view.instances:
            if seen.instance not in self._probers:
                self._probers[seen.instance] = self._make_prober(seen.instance)
                self._nursery.start_soon(self._probers[seen.instance].run)
            elif self._pods_seen.get(seen.instance) != seen.pod:
                self.look_at(seen.instance)
            self._pods_seen[seen.instance] = seen.pod

    def after_command(self, ended: CommandEnded) -> None:
        """Look at once at whom a command has touched."""
        for instance in touched_by(ended.command):
            self.look_at(instance)

    def look_at(self, instance: Instance) -> None:
        """Ask it now."""
        if instance in self._probers:
            self._probers[instance].prod()

    def _make_prober(self, instance: Instance) -> Prober:
        return Prober(
            instance,
            reach=self.reach,
            report=self._report,
            interval_s=self._interval_s,
            in_hurry=self._in_hurry,
            count_nodes=self._count_nodes,
        )

    def _in_hurry(self) -> bool:
        """While something is under way the next answer is waited for."""
        cluster, view = self._known()
        return bool(view.identity) and cluster.phase is not Phase.OPERATIONAL

    def _count_nodes(self, instance: Instance) -> bool:
        """Only where emptiness matters: in BOOTSTRAP, and for a storage that is not ours."""
        cluster, view = self._known()
        if cluster.phase is Phase.BOOTSTRAP:
            return True
        return view.storage_uuid(instance) not in ("", cluster.storage_uuid)


def touched_by(command: Command) -> tuple[Instance, ...]:
    """The instances whose answers a command may have changed."""
    match command:
        case c.Register():
            return (command.main, command.replica)
        case c.Drop() | c.Mark():
            return (command.main,)
        case c.Demote() | c.Promote():
            return (command.instance,)
        case _:
            return ()
