"""Where explorations begin, made by the product's own `evolve` from the product's own events."""

import mc_normal as n
from mc_brain import Brain
from mc_canon import canonical
from mc_steps import World
from mc_story import told
from mc_world import (
    BASE,
    MAIN,
    NOBODY,
    READY,
    STRICT,
    SYNC_ASYNC,
    Budget,
    Gate,
    Memgraph,
    Row,
    State,
)

from statemachine import events as e
from statemachine.cluster import Cluster
from statemachine.events import Event, Payload
from statemachine.evolve import evolve
from statemachine.ids import Mode, Phase

BO, OP, DE = Phase.BOOTSTRAP, Phase.OPERATIONAL, Phase.DEGRADED


def _history(instances: int, eligible: int) -> list[tuple[Payload, Phase]]:
    names = n.NAMES[:instances]
    steps: list[tuple[Payload, Phase]] = [
        (e.LeaderElected("first"), BO),
        (e.MainAppointed(names[0], "storage-0"), DE),
        (e.MainPromoted(names[0], frozenset(), "none"), DE),
    ]
    for i, name in enumerate(names[1:], 1):
        mode = Mode.STRICT_SYNC if i < eligible else Mode.ASYNC
        opened = e.RegistrationOpened(n.name_of(i, i), name, mode, f"{name}.svc:10000", "uid/1")
        steps.append((opened, DE))
    for i, name in enumerate(names[1:eligible], 1):
        steps.append((e.SyncJoined(name, n.name_of(i, i)), OP))
    return steps


def cluster(instances: int, eligible: int) -> Cluster:
    """OPERATIONAL: instance 0 is main, the other eligible ones are in the sync set."""
    made = Cluster()
    for payload, dest in _history(instances, eligible):
        made = evolve(made, Event(payload, made.phase, dest, ""))
    return n.normal_cluster(made)


def operational(brain: Brain, budget: Budget) -> State:
    """A cluster that has worked for a while; its leader was just lost, its gateways serve."""
    head = brain.clusters.of(cluster(brain.instances, brain.eligible))
    rows = tuple(
        Row(i, i, STRICT if i < brain.eligible else SYNC_ASYNC, READY)
        for i in range(1, brain.instances)
    )
    replicas = tuple(Memgraph(follows=0) for _ in range(1, brain.instances))
    gate = Gate(inst=0, proc=1)
    state = State(
        head=brain.deposed(head),
        view=NOBODY,
        insts=(Memgraph(role=MAIN, rows=rows), *replicas),
        gates=(gate, gate),
        msgs=(),
        blind=0,
        split=0,
        budget=budget,
        book=(),
        holed=(),
    )
    return canonical(brain, state)


def _nobody_knows(brain: Brain, budget: Budget, insts: tuple[Memgraph, ...]) -> State:
    """There is no ledger yet; gateways are closed."""
    head = brain.clusters.of(n.normal_cluster(Cluster()))
    state = State(head, NOBODY, insts, (Gate(), Gate()), (), 0, 0, budget, (), ())
    return canonical(brain, state)


def fresh(brain: Brain, budget: Budget) -> State:
    """Nobody has any data; the boot guard made everybody a REPLICA. The storage of instance 0 is
    the one that the cluster will have."""
    others = tuple(Memgraph(uuid=i + 1, log=(), wiped=True) for i in range(1, brain.instances))
    return _nobody_knows(brain, budget, (Memgraph(), *others))


def fresh_mains(brain: Brain, budget: Budget) -> State:
    """The same without the boot guard: everybody is a MAIN of an empty storage."""
    state = fresh(brain, budget)
    mains = tuple(inst._replace(role=MAIN) for inst in state.insts)
    return canonical(brain, state._replace(insts=mains))


def two_mains(brain: Brain, budget: Budget) -> State:
    """Two mains, both with data, each of a storage of its own: nobody can tell which is right."""
    state = fresh_mains(brain, budget)
    first = state.insts[0]._replace(log=(BASE, 1))
    others = tuple(inst._replace(log=(2,), wiped=False) for inst in state.insts[1:])
    return canonical(brain, state._replace(insts=(first, *others)))


def adopted(brain: Brain, budget: Budget) -> State:
    """A main with its replicas works, and its ledger is gone (or there never was one)."""
    state = operational(brain, budget)
    head = brain.clusters.of(n.normal_cluster(Cluster()))
    return canonical(brain, state._replace(head=head, gates=(Gate(), Gate())))


BEGINNINGS = {
    "operational": operational,
    "fresh": fresh,
    "fresh mains": fresh_mains,
    "two mains": two_mains,
    "adopted": adopted,
}


def led(world: World, state: State, *sentences: str) -> State:
    """The state after these things have happened, each told by a part of its sentence.

    Raises LookupError: the first sentence that no step from there tells.
    """
    for sentence in sentences:
        found = [x for x in world.steps(state) if sentence in told(world.brain, x.label)]
        if not found:
            possible = sorted({told(world.brain, x.label) for x in world.steps(state)})
            raise LookupError(f"{sentence!r} cannot happen here, but: {possible}")
        state = found[0].state
    return state


INFORMED = (
    "becomes leader",
    "lists the pods",
    "probes memgraph-0",
    "probes memgraph-1",
    "event leader_elected",
    "lists the gateway Leases",
)
"""A leader that knows everything and has its barrier in."""
