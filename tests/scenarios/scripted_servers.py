"""What stands in a scripted world: instances and gateways' Leases, as switches without a will."""

from collections.abc import Iterable

from attrs import define, field

from statemachine import commands as c
from statemachine import observations as o
from statemachine.ids import Instance, Mode, Role, RowStatus


@define(eq=False)
class Server:
    """One instance: what it would answer, and how it can be reached."""

    name: Instance
    number: int
    role: Role = Role.REPLICA
    storage: str = ""
    nodes: int = 0
    incarnation: int = 1
    uid: int = 1
    restarts: int = 0
    rows: dict[str, tuple[str, Mode]] = field(factory=dict)  # name -> address, mode
    row_says: dict[str, tuple[RowStatus, int]] = field(factory=dict)  # replica -> told by its main
    trouble: o.Failure | None = None
    is_reached_by_others: bool = False  # by the other pods' probers, while it is in trouble
    container: o.Container = o.Container.RUNNING
    is_deleting: bool = False
    refuses: frozenset[str] = frozenset()  # replicas whose data it does not accept
    is_stuck: bool = False  # it answers a promotion and stays what it is
    writes: set[int] = field(factory=set)  # of clients, as far as a transcript has any

    @property
    def address(self) -> str:
        return f"10.0.0.{self.number + 10}"

    def pod(self) -> o.PodFacts:
        is_up = self.container is o.Container.RUNNING
        uid = f"uid-{self.number}-{self.uid}"
        return o.PodFacts(
            self.name, uid, self.address, is_up, self.is_deleting, self.container, self.restarts
        )


@define(eq=False)
class GatewayLease:
    """One gateway's Lease."""

    pod: str
    acked: int = 0
    stamp: int = 0
    is_well: bool = True  # it renews and acknowledges
    is_renewing: bool = False  # it renews, although it is not well
    is_deleted: bool = False


def names(instances: Iterable[Instance]) -> str:
    """For people."""
    return ", ".join(sorted(instances)) or "nobody"


def str_of(command: c.Command) -> str:
    """`does Promote memgraph-1`, without what changes nothing for the reader."""
    match command:
        case c.Register():
            what = f"{command.replica} on {command.main} as {command.name} {command.mode.value}"
        case c.Mark():
            what = (
                f"through {command.main}, to be carried by {', '.join(command.names) or 'nobody'}"
            )
        case c.Drop():
            what = f"{command.name} on {command.main}"
        case c.ListGateways() | c.CloseRequest():
            what = ""
        case _:
            what = command.instance
    return f"does {type(command).__name__} {what}".rstrip()
