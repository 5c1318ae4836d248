"""One Bolt conversation.

Promise: the states of MEMGRAPH 5: after a FAILURE everything but RESET is IGNORED; one open result;
whatever is no legal message is answered with a FAILURE, and this connection alone is closed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from controller.sandbox.memgraph import failures
from controller.sandbox.memgraph.bolt.framing import (
    HANDSHAKE_BYTES,
    MAGIC,
    MESSAGE_BYTES_MAX,
    STRANGER_BYTES_MAX,
    MessageReader,
    Peer,
    Version,
    choose_version,
    supported_versions,
)
from controller.sandbox.memgraph.bolt.greeting import CONNECTION_ID, credentials_of, hello_of
from controller.sandbox.memgraph.bolt.messages import (
    Extras,
    extras_of,
    map_at,
    message_bytes,
    number_at,
)
from controller.sandbox.memgraph.bolt.packstream import Structure, unpack
from controller.sandbox.memgraph.bolt.result import Result
from controller.sandbox.memgraph.bolt.rules import (
    ACK_FAILURE,
    BEGIN,
    COMMIT,
    DISCARD,
    FAILURE,
    GOODBYE,
    HELLO,
    IGNORED,
    LOGOFF,
    LOGON,
    PULL,
    RESET,
    ROLLBACK,
    ROUTE,
    RUN,
    SUCCESS,
    State,
    is_legal,
)
from controller.sandbox.memgraph.failures import ClientFailure, Failure, ProtocolBroken
from controller.sandbox.memgraph.instance import Instance
from controller.sandbox.memgraph.interpreter import Interpreter

SEND_BYTES = 256 * 1024  # records are sent in pieces of about this size
LOGON_SINCE = (5, 1)  # from here on HELLO only greets


class Leave(Exception):
    """The conversation ends here; the connection is closed."""


class Session:
    """Serves one connection until it ends."""

    def __init__(self, link: Peer, instance: Instance) -> None:
        self._link = link
        self._instance = instance
        self._reader = MessageReader(link, STRANGER_BYTES_MAX)
        self._interpreter = Interpreter(instance)
        self._state = State.HELLO
        self._version: Version = (0, 0)
        self._result: Result | None = None

    async def serve(self) -> None:
        """Talk until the peer leaves; raises nothing the peer can cause but lost connections."""
        try:
            await self._handshake()
            while (message := await self._reader.read_message()) is not None:
                await self._handle(unpack(message))
        except Leave:
            pass
        except ProtocolBroken as problem:
            self._instance.log.info(f"{self._link.peer}: {problem}")
            await self._break_off()
        finally:
            self._drop_result()
            self._interpreter.reset()

    async def _handshake(self) -> None:
        opening = await self._reader.read_exactly(HANDSHAKE_BYTES)
        if opening is None:
            raise Leave
        if opening[:4] != MAGIC:
            raise ProtocolBroken("this is no Bolt")
        supported = supported_versions(self._instance.flags.release)
        chosen = choose_version(opening[4:], supported)
        if chosen is None:
            raise ProtocolBroken("no common version")
        self._version = chosen
        await self._link.send_all(bytes((0, 0, chosen[1], chosen[0])))

    async def _handle(self, message: Any) -> None:
        if not isinstance(message, Structure):
            raise ProtocolBroken("a message must be a structure")
        if message.tag == GOODBYE:
            raise Leave
        if not is_legal(self._version, self._state, message.tag, len(message.fields)):
            if self._state is not State.ERROR:
                raise ProtocolBroken(f"message {message.tag:#x} out of place")
            await self._send(IGNORED)
            return
        try:
            await _HANDLERS[message.tag](self, message.fields)
        except Failure as problem:
            self._drop_result()
            self._interpreter.failed()
            self._state = State.ERROR
            await self._fail(problem)

    # -- greeting -------------------------------------------------------------------------------

    async def _hello(self, fields: tuple[Any, ...]) -> None:
        given = hello_of(self._version, fields)
        if self._version >= LOGON_SINCE:
            self._state = State.LOGON
        else:
            await self._admit(given)
        await self._send(SUCCESS, self._greeting())

    async def _logon(self, fields: tuple[Any, ...]) -> None:
        await self._admit(map_at(fields, 0))
        await self._send(SUCCESS, self._greeting())

    async def _logoff(self, fields: tuple[Any, ...]) -> None:
        self._interpreter.reset()
        self._state = State.LOGON
        await self._send(SUCCESS, {})

    async def _admit(self, given: dict[str, Any]) -> None:
        user, password = credentials_of(given)
        if not self._instance.users.accept(user, password):
            await self._fail(Failure(failures.UNAUTHENTICATED, "Authentication failure"))
            raise Leave
        self._interpreter.user = user
        self._reader.message_bytes_max = MESSAGE_BYTES_MAX
        self._state = State.IDLE

    def _greeting(self) -> dict[str, Any]:
        server = self._instance.flags.text("bolt_server_name_for_init")
        return {"server": server, "connection_id": CONNECTION_ID}

    # -- queries --------------------------------------------------------------------------------

    async def _run(self, fields: tuple[Any, ...]) -> None:
        text, parameters = fields[0], map_at(fields, 1)
        if not isinstance(text, str):
            raise ProtocolBroken("RUN without a query")
        extras = extras_of(map_at(fields, 2)) if len(fields) > 2 else Extras()
        prepared = await self._interpreter.prepare(text, parameters, extras)
        result = Result(prepared, self._version, self._interpreter.take_qid())
        self._result = result
        self._state = State.RESULT
        await self._send(SUCCESS, result.head())

    async def _pull(self, fields: tuple[Any, ...]) -> None:
        await self._fetch(map_at(fields, 0), keep=True)

    async def _discard(self, fields: tuple[Any, ...]) -> None:
        await self._fetch(map_at(fields, 0), keep=False)

    async def _fetch(self, wanted: dict[str, Any], *, keep: bool) -> None:
        result = self._result
        assert result is not None
        count, qid = number_at(wanted, "n"), number_at(wanted, "qid")
        data = await result.fetch(count, qid, keep=keep)
        if result.is_finished:
            self._drop_result()
            self._state = State.IDLE
        await self._reply(data)

    def _drop_result(self) -> None:
        if self._result is not None:
            self._result.release()
            self._result = None

    async def _reset(self, fields: tuple[Any, ...]) -> None:
        self._drop_result()
        self._interpreter.reset()
        self._state = State.IDLE
        await self._send(SUCCESS, {})

    async def _ack_failure(self, fields: tuple[Any, ...]) -> None:
        """Bolt 1.0 only: go on, in the transaction that now has to be rolled back."""
        self._state = State.IDLE
        await self._send(SUCCESS, {})

    # -- transactions ---------------------------------------------------------------------------

    async def _begin(self, fields: tuple[Any, ...]) -> None:
        await self._interpreter.begin(extras_of(map_at(fields, 0)))
        await self._send(SUCCESS, {})

    async def _commit(self, fields: tuple[Any, ...]) -> None:
        await self._interpreter.commit()
        await self._reply(message_bytes(SUCCESS, {}))

    async def _rollback(self, fields: tuple[Any, ...]) -> None:
        await self._interpreter.rollback()
        await self._send(SUCCESS, {})

    async def _route(self, fields: tuple[Any, ...]) -> None:
        raise ClientFailure(failures.NO_ROUTING)

    # -- sending --------------------------------------------------------------------------------

    async def _reply(self, data: bytes) -> None:
        """Send the outcome of a statement, unless the fault "drop reply" takes it."""
        if self._instance.faults.take("drop_replies"):
            raise Leave
        if self._instance.faults.slow_s:
            await trio.sleep(self._instance.faults.slow_s)
        for at in range(0, len(data), SEND_BYTES):
            await self._link.send_all(data[at : at + SEND_BYTES])

    async def _send(self, tag: int, *fields: Any) -> None:
        if self._instance.faults.slow_s:
            await trio.sleep(self._instance.faults.slow_s)
        await self._link.send_all(message_bytes(tag, *fields))

    async def _fail(self, problem: Failure) -> None:
        await self._reply(
            message_bytes(FAILURE, {"code": problem.code, "message": problem.message})
        )

    async def _break_off(self) -> None:
        failure = {"code": failures.EXECUTION_EXCEPTION, "message": failures.GOES_WRONG}
        await self._link.send_all(message_bytes(FAILURE, failure))


Handler = Callable[[Session, tuple[Any, ...]], Awaitable[None]]
_HANDLERS: dict[int, Handler] = {
    HELLO: Session._hello,
    LOGON: Session._logon,
    LOGOFF: Session._logoff,
    RUN: Session._run,
    PULL: Session._pull,
    DISCARD: Session._discard,
    BEGIN: Session._begin,
    COMMIT: Session._commit,
    ROLLBACK: Session._rollback,
    ROUTE: Session._route,
    RESET: Session._reset,
    ACK_FAILURE: Session._ack_failure,
}
"""Where each is legal is said by `rules.TABLE`."""
