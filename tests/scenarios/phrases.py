"""The sentences of transcripts: what may happen in a scripted world. To be found by reading on.

{x} stands for an instance, {n} for a number, {w} for a word.
"""

import re
from collections.abc import Callable
from typing import Any

from scripted_world import WALL_S, ScriptedWorld, with_policy

from statemachine import commands as c
from statemachine.ids import Durability, Instance, Mode, Role, RowStatus, Term
from statemachine.observations import Container, Failure, Request

WHOLE_S = 20.0  # of virtual time: until a fresh cluster is OPERATIONAL and quiet

Phrase = Callable[..., None]
PHRASES: list[tuple[re.Pattern[str], Phrase]] = []


def phrase(pattern: str) -> Callable[[Phrase], Phrase]:
    """Registers a sentence; {x} stands for an instance, {n} for a number, {w} for a word."""
    for short, long in (("{x}", r"(memgraph-\d)"), ("{n}", r"(-?[\d.]+)"), ("{w}", r"([\w-]+)")):
        pattern = pattern.replace(short, long)

    def register(function: Phrase) -> Phrase:
        PHRASES.append((re.compile(pattern), function))
        return function

    return register


# -- what was before


@phrase("a whole cluster")
def _whole(world: ScriptedWorld) -> None:
    world.pass_time(WHOLE_S)
    for server in world.servers.values():
        server.nodes = 3


@phrase("a setting {w} of {w}")
def _setting(world: ScriptedWorld, name: str, value: str) -> None:
    values: dict[str, Any] = {"durability": Durability, "renewal": str, "reset": str}
    made = values.get(name, float)(value)
    with_policy(world, **{name: made})


@phrase("{n} instances may become main")
def _eligible(world: ScriptedWorld, count: str) -> None:
    with_policy(world, eligible=tuple(Instance(f"memgraph-{n}") for n in range(int(count))))


@phrase("{x} is (main|replica) with {n} nodes")
def _found(world: ScriptedWorld, name: str, role: str, nodes: str) -> None:
    server = world.servers[name]
    server.role, server.nodes = Role(role), int(nodes)


@phrase("{x} replicates to {x}")
def _replicates(world: ScriptedWorld, main: str, replica: str) -> None:
    one, other = world.servers[main], world.servers[replica]
    one.rows[replica.replace("-", "_")] = (f"{other.address}:10000", Mode.STRICT_SYNC)
    other.storage = one.storage


@phrase("no more than fresh instances")
def _fresh(world: ScriptedWorld) -> None:
    return


@phrase("{x} replicates to {x} as async")
def _replicates_later(world: ScriptedWorld, main: str, replica: str) -> None:
    _replicates(world, main, replica)
    name = replica.replace("-", "_")
    world.servers[main].rows[name] = (world.servers[main].rows[name][0], Mode.ASYNC)


# -- time and leaders


@phrase("{n} s pass")
def _pass(world: ScriptedWorld, seconds: str) -> None:
    world.pass_time(float(seconds))


@phrase("a new leader knows the ledger alone")
def _new_leader(world: ScriptedWorld) -> None:
    world.begin_reign("controller-1")


@phrase("the leader loses its lease")
def _no_leader(world: ScriptedWorld) -> None:
    world.end_reign()


# -- instances


@phrase("{x} hangs")
def _hangs(world: ScriptedWorld, name: str) -> None:
    world.servers[name].trouble = Failure.SILENT


@phrase("{x} hangs for the leader alone")
def _hangs_here(world: ScriptedWorld, name: str) -> None:
    _hangs(world, name)
    world.servers[name].is_reached_by_others = True


@phrase("{x} answers again")
def _answers(world: ScriptedWorld, name: str) -> None:
    server = world.servers[name]
    server.trouble, server.is_reached_by_others = None, False
    server.container = Container.RUNNING


@phrase("{x} dies")
def _dies(world: ScriptedWorld, name: str) -> None:
    server = world.servers[name]
    server.trouble, server.container = Failure.REFUSED, Container.TERMINATED


@phrase("the port of {x} refuses, and its container runs")
def _refuses(world: ScriptedWorld, name: str) -> None:
    world.servers[name].trouble = Failure.REFUSED


@phrase("{x} has no address")
def _no_address(world: ScriptedWorld, name: str) -> None:
    world.servers[name].trouble = Failure.NO_ADDRESS


@phrase("{x} answers with an error")
def _errs(world: ScriptedWorld, name: str) -> None:
    world.servers[name].trouble = Failure.ERROR


@phrase("{x} starts again")
def _starts(world: ScriptedWorld, name: str) -> None:
    world.restart(name)


@phrase("{x} starts again as main with its rows")
def _starts_as_main(world: ScriptedWorld, name: str) -> None:
    server = world.servers[name]
    rows = dict(server.rows)
    world.restart(name)
    server.role, server.rows = Role.MAIN, rows


@phrase("{x} loses its disk")
def _loses(world: ScriptedWorld, name: str) -> None:
    world.restart(name)
    world.lose_disk(name)


@phrase("{x} becomes {w} by hand")
def _by_hand(world: ScriptedWorld, name: str, role: str) -> None:
    world.servers[name].role = Role(role)
    if role == "replica":
        world.servers[name].rows = {}


@phrase("the pod of {x} is being deleted")
def _deleting(world: ScriptedWorld, name: str) -> None:
    world.servers[name].is_deleting = True


@phrase("a new pod of {x} starts")
def _new_pod(world: ScriptedWorld, name: str) -> None:
    world.replace_pod(name)


@phrase("{x} says that {x} is {w}, behind {n}")
def _row(world: ScriptedWorld, main: str, replica: str, status: str, behind: str) -> None:
    world.servers[main].row_says[replica] = (RowStatus(status), int(behind))


@phrase("{x} says the truth of {x}")
def _row_well(world: ScriptedWorld, main: str, replica: str) -> None:
    world.servers[main].row_says.pop(replica, None)


@phrase("{x} does not accept the data of {x}")
def _diverged(world: ScriptedWorld, main: str, replica: str) -> None:
    world.servers[main].refuses |= {replica}


@phrase("{x} forgets its row of {x}")
def _forgets(world: ScriptedWorld, main: str, replica: str) -> None:
    server, address = world.servers[main], f"{world.servers[replica].address}:10000"
    server.rows = {name: row for name, row in server.rows.items() if row[0] != address}


@phrase("the rows of {x} are gone")
def _rows_gone(world: ScriptedWorld, name: str) -> None:
    world.servers[name].rows = {}


@phrase("{x} cannot become main")
def _stays_replica(world: ScriptedWorld, name: str) -> None:
    world.servers[name].is_stuck = True


@phrase("{x} is gone for good")
def _removed(world: ScriptedWorld, name: str) -> None:
    del world.servers[name]


# -- gateways


@phrase("the gateway of {w} neither renews nor acknowledges")
def _gateway_stuck(world: ScriptedWorld, pod: str) -> None:
    world.leases[pod].is_well = False


@phrase("the gateway of {w} renews and does not acknowledge")
def _gateway_deaf(world: ScriptedWorld, pod: str) -> None:
    lease = world.leases[pod]
    lease.is_well = False
    lease.is_renewing = True


@phrase("the gateway of {w} is well")
def _gateway_well(world: ScriptedWorld, pod: str) -> None:
    lease = world.leases[pod]
    lease.is_well, lease.is_deleted, lease.is_renewing = True, False, False


@phrase("the Lease of the gateway of {w} is deleted")
def _gateway_lease_gone(world: ScriptedWorld, pod: str) -> None:
    world.leases[pod].is_deleted = True


# -- commands


@phrase("no {w} arrives")
def _lost(world: ScriptedWorld, kind: str) -> None:
    world.lost.add(kind)


@phrase("every {w} arrives")
def _not_lost(world: ScriptedWorld, kind: str) -> None:
    world.lost.discard(kind)


@phrase("the answer of the next {w} is lost")
def _unknown(world: ScriptedWorld, kind: str) -> None:
    world.unknown.add(kind)


@phrase("a (Promote|Demote) of {x} that was given up is carried out")
def _late(world: ScriptedWorld, kind: str, name: str) -> None:
    target = Instance(name)
    world.land(c.Promote(target, Term(0)) if kind == "Promote" else c.Demote(target, Term(0)))


# -- clients


@phrase("a client writes")
def _writes(world: ScriptedWorld) -> None:
    world.write()


@phrase("a client writes, and the second phase of its commit is lost")
def _writes_half(world: ScriptedWorld) -> None:
    world.write(is_finalized=False)


@phrase("it is looked for every write")
def _looked_for(world: ScriptedWorld) -> None:
    lost = ", ".join(map(str, sorted(world.missing()))) or "none"
    main, verdict = world.ledger.cluster.main, world.ledger.cluster.verdict
    world.tell(f"acknowledged and not on {main}: {lost}; the verdict says: {verdict}")


# -- people


@phrase("alice asks for {w}(?: of {x})?(?: with {w})?")
def _asks(world: ScriptedWorld, kind: str, instance: str | None, value: str | None) -> None:
    number = len(world.ledger.cluster.answered) + len(world.requests) + 1
    asked = Request(
        f"r-{number}",
        kind,
        "alice",
        "because",
        instance or "",
        value or "",
        confirm=world.policy.cluster_name,
        for_s=600.0,
        expires_s=WALL_S + world.now_s + 60,
    )
    world.requests = (*world.requests, asked)
