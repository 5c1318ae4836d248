"""The small world as values: what is true outside, and what is still in flight.

Promise: a state is a tuple of small ints, so that millions fit; two states that no verb and no
client could tell apart are equal after `mc_canon.canonical`. What a newcomer gets wrong: nothing in
here decides anything. Who is main, what is owed and where clients may go is asked of the product.
"""

from typing import NamedTuple

REPLICA, MAIN = 0, 1
STRICT, SYNC_ASYNC = 0, 1  # modes of a row: strict_sync, async
READY, INVALID, ABSENT, AHEAD = 0, 1, 2, 3  # what a main believes of a row
NOBODY = -1
CLEAN = 1  # no epoch
BASE = 0  # stands for everything that all copies have alike

Log = tuple[int, ...]
"""Writes (> 0) and epochs (< 0) in order, after BASE; () is an empty disk."""


class Row(NamedTuple):
    """One row of SHOW REPLICAS. `gen` is the generation in its name."""

    gen: int
    replica: int
    mode: int
    status: int


class Memgraph(NamedTuple):
    """One instance. `proc` counts its processes; `follows` is the main whose orders it takes;
    `uuid` 0 is the cluster's storage; `pinned`: its epoch survives a crash; `wiped`: its disk was
    lost, and it has not been filled since; `leaving`: its pod is being deleted;
    `armed`: a reset token waits for its next start. `stale`: it restarted inside its present epoch
    (1), and took part in a commit since (2); promoted then, it refuses whoever is in that epoch
    (`poison`), though their data be the same (MEMGRAPH L4)."""

    proc: int = 1
    up: bool = True
    role: int = REPLICA
    follows: int = NOBODY
    uuid: int = 0
    log: Log = (BASE,)
    rows: tuple[Row, ...] = ()
    pinned: bool = True
    wiped: bool = False
    leaving: bool = False
    armed: bool = False
    stale: int = 0
    poison: int = CLEAN


class Gate(NamedTuple):
    """One RW gateway. `inst` NOBODY: closed. `outdated`: the ledger gave clients a newer term than
    the one it was opened in; `acked`: it cut after the last event that closed RW, and said so;
    `mute`: cut off from the API server, and closed by itself; `reply`: a write whose
    acknowledgement it has read from the main and not yet handed to its client; `listed`: its Lease
    exists; `belief`: the main that it reopens to unasked (only where the head is not read)."""

    inst: int = NOBODY
    proc: int = 0
    outdated: bool = False
    acked: bool = True
    mute: bool = False
    reply: int = 0
    listed: bool = True
    belief: int = NOBODY


class Message(NamedTuple):
    """A command on its way to one process. `waiting`: its sender still hopes for the answer."""

    command: int
    target: int
    proc: int
    waiting: bool
    stage: int = 0


class Budget(NamedTuple):
    """Faults that may still happen. `writes`: how many may be under way beyond what all have."""

    writes: int = 2
    crash: int = 1
    disk: int = 0  # of the crashes, how many may lose the disk
    guard: int = 0  # restarts as a writable MAIN, for the boot guard failed open
    slow: int = 0  # commands that take long, whose answer may be lost
    double: int = 0  # slow commands that land twice
    blind: int = 0  # partitions between the leader and one instance
    split: int = 0  # partitions between two instances
    hole: int = 0  # finalize lost: acknowledged, and the replica only prepared
    depose: int = 0  # leaders that lose the Lease or die
    mute: int = 0  # gateways cut off from the API server, or dead
    leave: int = 0  # pods that somebody deletes
    unlist: int = 0  # gateway Leases that somebody deletes
    asks: int = 0  # requests of people


class Physics(NamedTuple):
    """What the small world is like. The first are true to life, or worse than it; the others break
    what the gateway's relay or Memgraph's links promise, to see whether the world would notice.

    `late_replies`: an acknowledgement may wait in the gateway. `torn_death`: a main may die while
    it alone holds a write that was acknowledged though finalize was lost. `outlives`: late commands
    land on a later process, too. `no_head_read`: a gateway reopens to the main that it knew.
    `forwards_late`: one that is cut off hands on what it has read before it looks at its deadline.
    `acks_first`: a gateway acknowledges before it cuts. `recalls_restarts`: a restart inside an
    epoch is remembered, and that nobody is refused whose data are good is a rule.
    """

    late_replies: bool = False
    torn_death: bool = False
    outlives: bool = False
    no_head_read: bool = False
    forwards_late: bool = False
    acks_first: bool = False
    recalls_restarts: bool = False


class State(NamedTuple):
    """Everything. `head`, `view`: numbers of the interned cluster and of the leader's view, which
    is NOBODY while nobody leads. `blind`: whom the leader cannot reach; `split`: cut pairs, as bit
    masks. `book`: writes that a client was told are done; `holed`: those acknowledged in the
    finalize hole; `asks`: the requests that stand in their ConfigMap."""

    head: int
    view: int
    insts: tuple[Memgraph, ...]
    gates: tuple[Gate, ...]
    msgs: tuple[Message, ...]
    blind: int
    split: int
    budget: Budget
    book: tuple[int, ...]
    holed: tuple[int, ...]
    asks: tuple[int, ...] = ()


Label = tuple[str | int, ...]


class Step(NamedTuple):
    """What happens, and the world after it."""

    label: Label
    state: State
    complaint: str = ""


def pair_bit(a: int, b: int) -> int:
    """The bit of the link between two instances."""
    return 1 << (a + b - 1)  # 0-1, 0-2, 1-2 -> 1, 2, 4


def is_linked(state: State, a: int, b: int) -> bool:
    """Whether two instances reach each other."""
    return not state.split & pair_bit(a, b)


def with_inst(state: State, index: int, inst: Memgraph) -> State:
    """The state with one instance exchanged."""
    insts = state.insts
    return state._replace(insts=(*insts[:index], inst, *insts[index + 1 :]))


def with_gate(state: State, index: int, gate: Gate) -> State:
    """The state with one gateway exchanged."""
    gates = state.gates
    return state._replace(gates=(*gates[:index], gate, *gates[index + 1 :]))


def spend(state: State, fault: str) -> State:
    """The state with one fault of this kind fewer to come."""
    budget = state.budget
    return state._replace(budget=budget._replace(**{fault: getattr(budget, fault) - 1}))
