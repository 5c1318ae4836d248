"""Progress over the whole explored graph: from every state there is a way on without any fault.

Promise: looks at the steps that the search itself has taken, backwards from the states in which
clients are served; nothing is run again, so that millions of states take seconds. What a newcomer
gets wrong: this says that a way exists, for every state; that the product takes it, step by step in
one fair order, is what `mc_healing` shows, for the states that it is asked about.
"""

from array import array

from attrs import frozen
from mc_explore import Exploration
from mc_healing import RANK
from mc_memgraph import can_commit
from mc_steps import World
from mc_world import MAIN, NOBODY, Label, State

from statemachine.ids import Phase
from statemachine.route import closed_because

FAULTLESS = frozenset((*RANK, "write"))
"""Steps that are no fault: everything that the parties do by themselves, and clients."""


def is_faultless(label: Label) -> bool:
    """Whether nothing had to break for this step."""
    return label[0] in FAULTLESS


def is_served(world: World, s: State) -> bool:
    """OPERATIONAL (or DEGRADED for the sake of an instance whose data are refused), every gateway
    on the main, and the main takes writes."""
    cluster = world.brain.clusters.values[s.head]
    main = world.brain.main_for_clients(s.head)
    if main == NOBODY or (cluster.phase is not Phase.OPERATIONAL and not cluster.refused):
        return False
    inst = s.insts[main]
    on_it = all(gate.inst == main and gate.proc == inst.proc for gate in s.gates)
    return on_it and inst.up and inst.role == MAIN and not can_commit(s, main)


def is_open(world: World, s: State) -> bool:
    """The same with one copy: all that can be had while the other one is dead."""
    main = world.brain.main_for_clients(s.head)
    if main == NOBODY:
        return False
    inst = s.insts[main]
    on_it = all(gate.inst == main and gate.proc == inst.proc for gate in s.gates)
    return on_it and inst.up and inst.role == MAIN and not can_commit(s, main)


def says_who_must_come_back(world: World, s: State, dead: int) -> bool:
    """Closed, no safe copy but the dead one, and the ledger says so."""
    cluster = world.brain.clusters.values[s.head]
    safe = {i for i in world.brain.sync_set(s.head) if not s.insts[i].wiped}
    alone = safe <= {dead}
    is_required = world.brain.required and len(cluster.sync) == 1
    return (alone and cluster.is_main_lost) or (is_required and bool(closed_because(cluster)))


def has_lost_all(world: World, s: State) -> bool:
    """Every copy of what clients were given has lost its disk: a person has to choose what to begin
    with. Before clients were given anything there is nothing to lose."""
    lost = all(s.insts[i].wiped for i in world.brain.sync_set(s.head))
    cluster = world.brain.clusters.values[s.head]
    return lost and bool(cluster.sync) and not cluster.is_fresh


@frozen
class Stranded:
    """States without a way on. `looked_at`: of how many; `first`: the number of one of the
    shallowest, -1 when there is none."""

    looked_at: int
    count: int
    first: int


def stranded(x: Exploration, dead: int = NOBODY) -> Stranded:
    """The states from which no faultless way leads to a good end, `dead` being gone for good:
    then only states in which it is down are looked at, and the steps between them."""
    world = x.world
    counted = bytearray(len(x.states))
    good = array("L")
    for number, s in enumerate(x.states):
        if dead != NOBODY and s.insts[dead].up:
            continue
        counted[number] = 1
        ends = is_served(world, s) if dead == NOBODY else is_open(world, s)
        ends = ends or has_lost_all(world, s)
        if ends or (dead != NOBODY and says_who_must_come_back(world, s, dead)):
            good.append(number)
    reached = _backwards(x, good, counted)
    lost = [k for k in range(len(x.states)) if counted[k] and not reached[k]]
    return Stranded(sum(counted), len(lost), lost[0] if lost else -1)


def _backwards(x: Exploration, good: "array[int]", counted: bytearray) -> bytearray:
    """Which states lead to a good one."""
    begin = array("L", bytes(array("L").itemsize * (len(x.states) + 1)))
    for after in x.edges_to:
        begin[after + 1] += 1
    for k in range(len(x.states)):
        begin[k + 1] += begin[k]
    place, sources = array("L", begin), array("L", bytes(begin.itemsize * len(x.edges_to)))
    for before, after in zip(x.edges_from, x.edges_to, strict=True):
        sources[place[after]] = before
        place[after] += 1
    reached = bytearray(len(x.states))
    todo = list(good)
    for number in todo:
        reached[number] = 1
    while todo:
        number = todo.pop()
        for before in sources[begin[number] : begin[number + 1]]:
            if counted[before] and not reached[before]:
                reached[before] = 1
                todo.append(before)
    return reached
