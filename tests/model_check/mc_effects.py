"""What a command does when it arrives, and what is reported of it."""

from typing import NamedTuple

import mc_memgraph as mg
import mc_normal as n
from mc_world import MAIN, READY, REPLICA, STRICT, SYNC_ASYNC, Row, State, with_inst

from statemachine import commands as c
from statemachine.ids import Mode
from statemachine.observations import Outcome


class Effect(NamedTuple):
    """The world after a command, and how it ended."""

    state: State
    outcome: Outcome = Outcome.DONE
    code: int | None = None
    carried: tuple[str, ...] = ()


def goes_to_an_instance(command: c.Command) -> bool:
    """Whether it is about an instance; the others answer people, or read."""
    return hasattr(command, "main") or hasattr(command, "instance")


def target_of(command: c.Command) -> int:
    """The instance that carries it out, or whose pod is deleted."""
    name = getattr(command, "main", None) or getattr(command, "instance", None)
    return n.INDEX[name] if name is not None else -1


def sees(state: State, index: int) -> bool:
    """Whether the leader reaches the instance."""
    return state.insts[index].up and not state.blind & (1 << index)


def perform(state: State, command: c.Command) -> Effect | None:
    """The command, carried out at once and wholly by the product's adapter; None when it certainly
    does not arrive, or its own checks stop it before anything is sent."""
    target = target_of(command)
    if isinstance(command, c.WriteResetToken | c.WithdrawResetToken):
        armed = isinstance(command, c.WriteResetToken)
        return Effect(with_inst(state, target, state.insts[target]._replace(armed=armed)))
    if isinstance(command, c.EndIncarnation | c.Restart):
        return Effect(mg.crash(state, target)) if state.insts[target].up else Effect(state)
    if not sees(state, target):
        return None
    match command:
        case c.Demote():
            return Effect(mg.demote(state, target))
        case c.Promote():
            return Effect(mg.pin(mg.promote(mg.demote(state, target), target), target))
        case c.Register():
            replica = n.INDEX[command.replica]
            if not sees(state, replica) or state.insts[replica].role != REPLICA:
                return None  # its replication port does not accept
            return _register(state, command)
        case c.Drop():
            gone = state.insts[target].role == REPLICA
            return None if gone else Effect(mg.drop(state, target, n.gen_of(command.name)))
        case c.Mark():
            return _mark(state, command)
        case _:
            raise TypeError(f"nobody can carry out {command}")


def _register(state: State, command: c.Register) -> Effect:
    mode = STRICT if command.mode is Mode.STRICT_SYNC else SYNC_ASYNC
    row = Row(n.gen_of(command.name), n.INDEX[command.replica], mode, READY)
    after, code = mg.register(state, n.INDEX[command.main], row)
    outcome = Outcome.REFUSED if code else Outcome.DONE
    return Effect(after, outcome, code if code < 7 else None)


def _mark(state: State, command: c.Mark) -> Effect | None:
    main = n.INDEX[command.main]
    if state.insts[main].role != MAIN:
        return None
    before = _sound(state, main)
    if set(command.names) - set(before):
        return None  # nothing is written
    if blocking := mg.can_commit(state, main):
        return Effect(mg.commit_failed(state, main, blocking), Outcome.REFUSED)
    after = mg.ship(state, main, 0)
    return Effect(after, carried=tuple(x for x in before if x in _sound(after, main)))


def _sound(state: State, main: int) -> tuple[str, ...]:
    rows = state.insts[main].rows
    return tuple(
        n.name_of(r.replica, r.gen) for r in rows if r.mode == STRICT and r.status == READY
    )


def land_late(state: State, command: c.Command) -> State:
    """The bare statement of a command whose sender has given it up: no checks before it, and
    nothing after it."""
    target = target_of(command)
    match command:
        case c.Demote():
            return mg.demote(state, target)
        case c.Promote():
            return mg.promote(state, target)
        case c.Register():
            return _register(state, command).state
        case c.Drop():
            return mg.drop(state, target, n.gen_of(command.name))
        case c.Mark():
            blocking = mg.can_commit(state, target)
            if state.insts[target].role != MAIN:
                return state
            if blocking:
                return mg.commit_failed(state, target, blocking)
            return mg.ship(state, target, 0)
        case _:
            return state
