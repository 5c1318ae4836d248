"""One Bolt conversation.

Promise: the states of MEMGRAPH 5: after a FAILURE everything but RESET is IGNORED; one open result;
protocol errors are answered with a FAILURE and the connection is closed; hostile bytes close this
connection only.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from controller.sandbox.memgraph import failures
from controller.sandbox.memgraph.bolt.framing import (
    HANDSHAKE_BYTES,
    MAGIC,
    MessageReader,
    Version,
    choose_version,
    supported_versions,
)
from controller.sandbox.memgraph.bolt.messages import (
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
    RECORD,
    RESET,
    ROLLBACK,
    ROUTE,
    RUN,
    SUCCESS,
    Credentials,
    State,
    map_at,
    message_bytes,
)
from controller.sandbox.memgraph.bolt.packstream import Structure, unpack
from controller.sandbox.memgraph.bolt.records import to_bolt
from controller.sandbox.memgraph.failures import (
    ClientFailure,
    Failure,
    ProtocolBroken,
    TransientFailure,
)
from controller.sandbox.memgraph.faults import Link
from controller.sandbox.memgraph.instance import Instance
from controller.sandbox.memgraph.interpreter import Answer, Interpreter, Prepared

SEND_BYTES = 256 * 1024  # records are sent in pieces of about this size

_connection_numbers = itertools.count(1)


class Leave(Exception):
    """The conversation ends here; the connection is closed."""


class Session:
    """Serves one connection until it ends."""

    def __init__(self, link: Link, instance: Instance, credentials: Credentials) -> None:
        self._link = link
        self._instance = instance
        self._credentials = credentials
        self._reader = MessageReader(link)
        self._interpreter = Interpreter(instance)
        self._state = State.HELLO
        self._version: Version = (0, 0)
        self._prepared: Prepared | None = None
        self._answer: Answer | None = None
        self._sent_rows = 0
        self._run_id = ""
        self._connection_id = f"bolt-{next(_connection_numbers)}"

    async def serve(self) -> None:
        """Talk until the peer leaves; raises nothing the peer can cause."""
        try:
            await self._handshake()
            while (message := await self._reader.read_message()) is not None:
                await self._handle(unpack(message))
        except Leave:
            pass
        except ProtocolBroken as problem:
            self._instance.log.info(f"{self._link.peer}: {problem}")
        finally:
            self._drop_result()
            self._interpreter.reset()

    async def _handshake(self) -> None:
        opening = await self._reader.read_exactly(HANDSHAKE_BYTES)
        if opening is None:
            raise Leave
        supported = supported_versions(self._instance.flags.release)
        chosen = choose_version(opening[4:], supported) if opening[:4] == MAGIC else None
        if chosen is None:
            await self._break_off()
        else:
            self._version = chosen
            await self._link.send_all(bytes((0, 0, chosen[1], chosen[0])))

    async def _handle(self, message: Any) -> None:
        if not isinstance(message, Structure):
            raise ProtocolBroken("a message must be a structure")
        if message.tag == GOODBYE:
            raise Leave
        if message.tag == RESET and self._state not in (State.HELLO, State.LOGON):
            self._drop_result()
            self._interpreter.reset()
            self._state = State.IDLE
            await self._send(SUCCESS, {})
            return
        if self._state is State.ERROR:
            await self._send(IGNORED)
            return
        handler = _HANDLERS.get((self._state, message.tag))
        if handler is None:
            await self._break_off()
            return
        try:
            await handler(self, message.fields)
        except Failure as problem:
            self._drop_result()
            self._interpreter.failed()
            self._state = State.ERROR
            await self._fail(problem)

    # -- greeting -------------------------------------------------------------------------------

    async def _hello(self, fields: tuple[Any, ...]) -> None:
        given = map_at(fields, 0)
        if self._version >= (5, 1):
            self._state = State.LOGON
        else:
            await self._check(given)
            self._state = State.IDLE
        await self._send(SUCCESS, self._greeting())

    async def _logon(self, fields: tuple[Any, ...]) -> None:
        await self._check(map_at(fields, 0))
        self._state = State.IDLE
        await self._send(SUCCESS, self._greeting())

    async def _logoff(self, fields: tuple[Any, ...]) -> None:
        self._state = State.LOGON
        await self._send(SUCCESS, {})

    async def _check(self, given: dict[str, Any]) -> None:
        if not self._credentials.accept(given):
            await self._fail(Failure(failures.UNAUTHENTICATED, "Authentication failure"))
            raise Leave

    def _greeting(self) -> dict[str, Any]:
        server = self._instance.flags.text("bolt_server_name_for_init")
        return {"server": server, "connection_id": self._connection_id}

    # -- queries --------------------------------------------------------------------------------

    async def _run(self, fields: tuple[Any, ...]) -> None:
        text = fields[0] if fields else None
        if not isinstance(text, str):
            raise ProtocolBroken("RUN without a query")
        database = map_at(fields, 2).get("db") or "memgraph"
        if database != "memgraph":
            raise TransientFailure(f'Tried to retrieve an unknown database "{database}".')
        prepared = await self._interpreter.prepare(text, map_at(fields, 1))
        self._prepared, self._answer, self._sent_rows = prepared, None, 0
        self._run_id = str(uuid.uuid4())
        self._state = State.RESULT
        metadata: dict[str, Any] = {"fields": prepared.fields}
        if self._interpreter.in_transaction:
            metadata["qid"] = 0
        await self._send(SUCCESS, metadata)

    async def _pull(self, fields: tuple[Any, ...]) -> None:
        await self._deliver(map_at(fields, 0).get("n", -1), keep=True)

    async def _discard(self, fields: tuple[Any, ...]) -> None:
        await self._deliver(map_at(fields, 0).get("n", -1), keep=False)

    async def _deliver(self, count: Any, *, keep: bool) -> None:
        """Run on the first call, commit with the last row, and only then send anything."""
        prepared = self._prepared
        assert prepared is not None
        if self._answer is None:
            self._answer = await prepared.run()
        answer = self._answer
        rows = answer.rows
        left = len(rows) - self._sent_rows
        taken = left if not isinstance(count, int) or count < 0 else min(count, left)
        out = bytearray()
        if keep:
            for row in rows[self._sent_rows : self._sent_rows + taken]:
                out += self._record(row, prepared)
        self._sent_rows += taken
        if self._sent_rows < len(rows):
            out += message_bytes(SUCCESS, {"has_more": True, "run_id": self._run_id})
        else:
            await prepared.finish()
            self._drop_result()
            self._state = State.IDLE
            out += message_bytes(SUCCESS, self._summary(answer))
        await self._reply(bytes(out))

    def _record(self, row: list[Any], prepared: Prepared) -> bytes:
        element_ids = self._version >= (5, 0)
        values = [to_bolt(v, prepared.transaction, element_ids=element_ids) for v in row]
        try:
            return message_bytes(RECORD, values)
        except (TypeError, RecursionError) as problem:
            raise ClientFailure(f"A value of the result cannot be sent: {problem}.") from problem

    def _summary(self, answer: Answer) -> dict[str, Any]:
        return {
            "has_more": False,
            "type": "rw",
            "db": "memgraph",
            "parsing_time": 0.0001,
            "planning_time": 0.0001,
            "cost_estimate": 0.0,
            "run_id": self._run_id,
            **answer.summary,
        }

    def _drop_result(self) -> None:
        if self._prepared is not None:
            self._prepared.release()
        self._prepared, self._answer = None, None

    # -- transactions ---------------------------------------------------------------------------

    async def _begin(self, fields: tuple[Any, ...]) -> None:
        await self._interpreter.begin()
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
        raise Leave


Handler = Callable[[Session, tuple[Any, ...]], Awaitable[None]]
_HANDLERS: dict[tuple[State, int], Handler] = {
    (State.HELLO, HELLO): Session._hello,
    (State.LOGON, LOGON): Session._logon,
    (State.IDLE, LOGOFF): Session._logoff,
    (State.IDLE, RUN): Session._run,
    (State.IDLE, BEGIN): Session._begin,
    (State.IDLE, COMMIT): Session._commit,
    (State.IDLE, ROLLBACK): Session._rollback,
    (State.IDLE, ROUTE): Session._route,
    (State.RESULT, PULL): Session._pull,
    (State.RESULT, DISCARD): Session._discard,
}
"""What is legal where; every other message breaks the conversation off."""
