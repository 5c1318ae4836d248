"""Runs exactly the commands that are owed: one at a time for each instance, again after a pause
when one failed, and reports every end as an observation.

Promise: two role commands never run on one instance at once (S9), and a command that is cut short
is reported as of unknown outcome. What a newcomer gets wrong: nothing is queued. What is still owed
is owed again by the next plan; what is not, is forgotten.
"""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

import structlog
import trio
from attrs import asdict, frozen

from controller.errors import (
    CommandOutcomeUnknown,
    ControllerError,
    KubeUnavailable,
    MemgraphRefused,
    MemgraphUnreachable,
)
from controller.memgraph import register_error
from controller.ports import GatewayLeases, MemgraphInstance, PodControl, Requests
from controller.tally import command_word
from statemachine import commands as c
from statemachine.commands import Command
from statemachine.ids import Incarnation, Instance, Seq
from statemachine.observations import (
    CommandEnded,
    CommandStarted,
    GatewaysListed,
    Observation,
    Outcome,
)

log = structlog.get_logger(__name__)

PAUSE_DONE_S = 0.02
PAUSE_FIRST_S = 0.1  # after a command failed; doubled each time in a row
PAUSE_MAX_S = 2.0
PAUSE_MARK_S = 0.1  # clients may wait for it, and the first after a replica's return often fails
END_GRACE_S = 1  # its preStop hook would wait for the very change that waits for its end
COMMAND_TIMEOUT_S = 45.0  # above Memgraph's longest own wait (30 s, MEMGRAPH 2.2)


@frozen
class Done:
    """How a command ended that was carried out."""

    incarnation: Incarnation | None = None
    carried: tuple[str, ...] = ()


class Executor:
    """One for each reign; `owe` is called by the loop, `run` is a task of the reign."""

    def __init__(
        self,
        *,
        memgraph: Callable[[Instance], MemgraphInstance],
        gateways: GatewayLeases,
        pods: PodControl,
        report: Callable[[Observation], None],
        requests: Requests | None = None,
        clock: Callable[[], float] = trio.current_time,
        place: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        self._place = place  # seq and term of the ledger, for the log
        self._memgraph, self._gateways, self._pods = memgraph, gateways, pods
        self._report, self._clock, self._requests = report, clock, requests
        self._nursery: trio.Nursery | None = None
        self._running: dict[str, Command] = {}
        self._pauses: dict[Command, tuple[float, float]] = {}  # command -> (until, length)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs what is owed until cancelled; then what is under way ends as unknown."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None  # the loop may turn once more before it is told

    def owe(self, commands: tuple[Command, ...]) -> None:
        """Start what is owed, not running, and not in its pause after a failure."""
        self._pauses = {k: v for k, v in self._pauses.items() if k in commands}
        for command in commands:
            target = target_of(command)
            until_s, _ = self._pauses.get(command, (0.0, 0.0))
            if target in self._running or self._clock() < until_s or self._nursery is None:
                continue
            self._running[target] = command
            started_s = self._clock()
            self._report(CommandStarted(command, started_s))  # before anything else is decided
            self._nursery.start_soon(self._carry_out, target, command, started_s)

    def next_due_s(self) -> float:
        """When the next pause is over; infinity when there is none. One that is over already waits
        for its instance to be free, whose CommandEnded wakes the loop."""
        now_s = self._clock()
        coming = (until_s for until_s, _ in self._pauses.values() if until_s > now_s)
        return min(coming, default=float("inf"))

    async def _carry_out(self, target: str, command: Command, started_s: float) -> None:
        ended = CommandEnded(command, started_s, Outcome.UNKNOWN, "cut short", None, started_s)
        try:
            with trio.move_on_after(COMMAND_TIMEOUT_S):
                ended = await self._attempt(command, started_s)
        finally:
            del self._running[target]
            self._pause(command, ended)
            self._log(ended)
            self._report(ended)

    def _log(self, ended: CommandEnded) -> None:
        """One line: what was done, in which term, by what was in the ledger then."""
        seq, term = self._place()
        told = {name: _plain(value) for name, value in asdict(ended.command).items()}
        log.info(
            "command",
            command=command_word(ended.command),
            **{"term": term, **told},
            seq=seq,
            outcome=ended.outcome.value,
            took_s=round(ended.at_s - ended.started_at_s, 3),
            why=ended.text,
        )

    def _pause(self, command: Command, ended: CommandEnded) -> None:
        if ended.outcome is Outcome.DONE:
            # Until the world has been looked at again it may still seem owed.
            self._pauses[command] = (self._clock() + PAUSE_DONE_S, PAUSE_FIRST_S / 2)
            return
        _, length_s = self._pauses.get(command, (0.0, PAUSE_FIRST_S / 2))
        length_s = min(2 * length_s, PAUSE_MARK_S if isinstance(command, c.Mark) else PAUSE_MAX_S)
        self._pauses[command] = (self._clock() + length_s, length_s)

    async def _attempt(self, command: Command, started_s: float) -> CommandEnded:
        outcome, text, code, done = Outcome.DONE, "", None, Done()
        try:
            done = await self._run(command)
        except CommandOutcomeUnknown as error:
            outcome, text = Outcome.UNKNOWN, str(error)
        except (MemgraphUnreachable, KubeUnavailable) as error:
            outcome, text = Outcome.UNREACHABLE, str(error)
        except MemgraphRefused as error:
            outcome, text, code = Outcome.REFUSED, error.message, register_error(error.message)
        except ControllerError as error:
            outcome, text = Outcome.REFUSED, str(error)
        at_s = self._clock()
        return CommandEnded(
            command, at_s, outcome, text, code, started_s, done.incarnation, done.carried
        )

    async def _run(self, command: Command) -> Done:
        match command:
            case c.Demote():
                return Done(await self._memgraph(command.instance).demote(command))
            case c.Promote():
                return Done(await self._memgraph(command.instance).promote(command))
            case c.Mark():
                carried = await self._memgraph(command.main).mark(command)
                return Done(carried=carried.names)
            case c.Register():
                await self._memgraph(command.main).register(command)
            case c.Drop():
                await self._memgraph(command.main).drop(command)
            case c.ListGateways():
                await self._list_gateways(command)
            case c.CloseRequest() if self._requests is not None:
                await self._requests.close(command.id)
            case _:
                await self._pod_command(command)
        return Done()

    def _pod_command(self, command: Command) -> Awaitable[None]:
        match command:
            case c.EndIncarnation():
                return self._pods.delete_pod(command.instance, command.pod_uid, END_GRACE_S)
            case c.Restart():
                return self._pods.delete_pod(command.instance, command.pod_uid)
            case c.WriteResetToken():
                return self._pods.write_reset_token(command.instance, command.token)
            case c.ReleaseCopies():
                return self._pods.release_copies(command.instance, command.tokens)
            case c.WithdrawResetToken():
                return self._pods.withdraw_reset_token(command.instance)
            case _:
                raise TypeError(f"no way to run {command!r}")

    async def _list_gateways(self, command: c.ListGateways) -> None:
        found = await self._gateways.list_quorum()
        self._report(GatewaysListed(self._clock(), found, Seq(command.after_seq)))


def _plain(value: Any) -> Any:
    """A command's field as a line of the log shows it."""
    return value.value if isinstance(value, Enum) else value


def target_of(command: Command) -> str:
    """What runs one command at a time: the instance that carries it out, or its kind."""
    match command:
        case c.Register() | c.Drop() | c.Mark():
            return command.main
        case c.ListGateways():
            return "gateways"
        case c.WriteResetToken() | c.WithdrawResetToken() | c.ReleaseCopies():
            return f"reset of {command.instance}"
        case c.CloseRequest():
            return "requests"
        case _:
            return command.instance
