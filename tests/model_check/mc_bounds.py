"""How large a world is explored: named runs, each with its own faults."""

from attrs import frozen
from mc_world import Budget, Physics

TRUE_TO_LIFE = Physics()
RECALLS = Physics(recalls_restarts=True)
SWITCHOVER = ("switchover memgraph-1",)
FORCED = ("failover memgraph-1",)
REINIT = ("reinit memgraph-0",)


@frozen
class Run:
    """One exploration. `eligible` of `instances` may become main."""

    name: str
    budget: Budget
    instances: int = 2
    eligible: int = 2
    physics: Physics = TRUE_TO_LIFE
    required: bool = False
    resets: bool = False
    people: tuple[str, ...] = ()
    begins: str = "operational"


def _one(
    name: str,
    instances: int = 2,
    eligible: int = 2,
    resets: bool = False,
    people: tuple[str, ...] = (),
    begins: str = "operational",
    physics: Physics = TRUE_TO_LIFE,
    **faults: int,
) -> Run:
    budget = Budget(**{"crash": 0, **faults})
    return Run(name, budget, instances, eligible, physics, False, resets, people, begins)


SMALL: tuple[Run, ...] = (
    _one("an instance dies", crash=1),
    _one("an instance dies, the leader is deposed", crash=1, depose=1),
    _one("an instance dies, and comes back as a writable MAIN", crash=1, guard=1),
    _one("an instance dies while the instances lose each other", crash=1, split=1),
    _one("the leader cannot reach an instance", blind=1),
    _one("a gateway is cut off", mute=1),
    _one("a pod is deleted", leave=1),
    _one("a command takes long, its answer may be lost", slow=1),
    _one("finalize is lost, and the leader cannot reach an instance", hole=1, blind=1),
    _one("a fresh cluster begins", begins="fresh"),
    _one("a fresh cluster without the boot guard", begins="fresh mains"),
    _one("two mains with data, and no ledger", begins="two mains"),
    _one("a cluster whose ledger is gone", begins="adopted"),
    _one("a switchover is asked for", people=SWITCHOVER, asks=1),
    _one("a failover is forced", people=FORCED, asks=1),
)

MEDIUM: tuple[Run, ...] = (
    *SMALL,
    _one("two instances die", crash=2),
    _one("an instance dies, and is reset", crash=1, resets=True),
    _one("an instance is reset, the leader is deposed", crash=1, depose=1, resets=True),
    _one("a disk is lost", crash=1, disk=1),
    _one("a pod is deleted, an instance dies", crash=1, leave=1, writes=1),
    _one("a pod is deleted, finalize was lost", leave=1, hole=1),
    _one("an instance dies, the leader cannot reach one", crash=1, blind=1),
    _one("an instance dies, a gateway is cut off", crash=1, mute=1),
    _one("a command takes long, the leader is deposed", slow=1, depose=1),
    _one("finalize is lost between an outage and a partition", hole=1, blind=1, split=1),
    _one("an instance dies, with a reader", 3, 2, crash=1),
    _one("a fresh cluster begins, an instance dies", begins="fresh", crash=1),
    _one("a fresh cluster begins, a disk is lost", begins="fresh", crash=1, disk=1),
    _one("a cluster whose ledger is gone, an instance dies", begins="adopted", crash=1),
    _one("a switchover is asked for, an instance dies", people=SWITCHOVER, asks=1, crash=1),
    _one("a failover is forced, an instance dies", people=FORCED, asks=1, crash=1),
    _one("a pause, and a switchover", people=("pause", "resume", *SWITCHOVER), asks=2),
    _one("pods are deleted, nobody is refused in vain", physics=RECALLS, leave=1),
)

LARGE: tuple[Run, ...] = (
    *MEDIUM,
    _one("a pod is deleted, an instance dies, two writes", crash=1, leave=1),
    _one("an instance dies, a command takes long", crash=1, slow=1),
    _one("two instances die, the leader is deposed", crash=2, depose=1),
    _one("two instances die, one disk is lost", crash=2, disk=1),
    _one("two commands take long, one lands twice", slow=2, double=1),
    _one("an instance dies, two commands take long", crash=1, slow=2),
    _one(
        "an instance dies, a command takes long, the leader is deposed",
        2,
        2,
        crash=1,
        slow=1,
        depose=1,
    ),
    _one("an instance dies, with two sync replicas", 3, 3, crash=1),
    _one("two instances die, with a reader", 3, 2, crash=2),
    _one("two pods are deleted", leave=2),
    _one("a failover is forced to a reader", 3, 2, people=("failover memgraph-2",), asks=1),
    _one("a reset is asked for, an instance dies", 2, 2, True, REINIT, asks=1, crash=2),
    _one("late commands while a fresh cluster begins", begins="fresh", slow=1, double=1, depose=1),
)

BOUNDS: dict[str, tuple[Run, ...]] = {"small": SMALL, "medium": MEDIUM, "large": LARGE}
