"""A Bolt 5.2 server in this process that answers like Memgraph and misbehaves on demand.

It keeps role, rows and a list of all statements with the number of the connection they came over.
A statement is carried out at PULL, as in Memgraph; `faults` maps the beginning of a statement to
what goes wrong, used up from the left.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
import trio

from controller.sandbox.memgraph.bolt.framing import MessageReader, chunked
from controller.sandbox.memgraph.bolt.packstream import Structure, pack, unpack

SUCCESS, RECORD, IGNORED, FAILURE = 0x70, 0x71, 0x7E, 0x7F
HELLO, GOODBYE, RESET, RUN, PULL, LOGON = 0x01, 0x02, 0x0F, 0x10, 0x3F, 0x6A
CODE = "Memgraph.ClientError.MemgraphError.MemgraphError"
AUTH_CODE = "Memgraph.ClientError.Security.Unauthenticated"
HANG, HANG_AT_RUN, DROP_REPLY, DROP_BEFORE = "hang", "hang at run", "drop reply", "drop before"


class Refuse(Exception):
    """The server answers FAILURE with this text."""


class Gone(Exception):
    """The server closes the connection."""


@attrs.define(eq=False)
class ScriptedServer:
    """One instance; the tests change its fields between statements."""

    port: int
    password: str = ""
    role: str = "main"
    version: str = "3.12.0"
    storage_uuid: str = "uuid-1"
    knows_current_database: bool = True
    node_count: int = 0
    rows: list[list[Any]] = attrs.Factory(list)
    faults: dict[str, list[str]] = attrs.Factory(dict)
    seen: list[tuple[int, str]] = attrs.Factory(list)
    on_carried_out: Callable[[str], None] = lambda statement: None
    on_refused: Callable[[str], None] = lambda statement: None
    connections: dict[int, trio.SocketStream] = attrs.Factory(dict)
    accepted_count: int = 0
    is_silent: bool = False

    @property
    def statements(self) -> list[str]:
        return [statement for _, statement in self.seen]

    def changes(self) -> list[str]:
        """All statements that are no mere question."""
        return [s for s in self.statements if not s.startswith(("SHOW", "MATCH"))]

    async def cut_all(self) -> None:
        """Close every connection from this side."""
        for stream in list(self.connections.values()):
            await stream.aclose()

    async def serve(self, stream: trio.SocketStream) -> None:
        self.accepted_count += 1
        number = self.accepted_count
        self.connections[number] = stream
        try:
            async with stream:
                await _Conversation(self, number, stream).run()
        except (Gone, trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            del self.connections[number]

    def fault(self, statement: str, *kinds: str) -> bool:
        """Whether the next fault for this statement is one of these; if so, it is used up."""
        for prefix, waiting in self.faults.items():
            if statement.startswith(prefix) and waiting and waiting[0] in kinds:
                waiting.pop(0)
                return True
        return False

    def text_fault(self, statement: str) -> None:
        for prefix, waiting in self.faults.items():
            if statement.startswith(prefix) and waiting:
                self.on_refused(statement)
                raise Refuse(waiting.pop(0))

    def carry_out(self, statement: str) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows of the answer, or Refuse."""
        self.text_fault(statement)
        answer = self.answer_of(statement)
        self.on_carried_out(statement)
        return answer

    def answer_of(self, statement: str) -> tuple[list[str], list[list[Any]]]:
        match statement.split():
            case ["SHOW", "REPLICATION", "ROLE"]:
                return ["replication role"], [[self.role]]
            case ["SHOW", "REPLICAS"] if self.role != "main":
                raise Refuse("Show replicas query should only be run on the main instance.")
            case ["SHOW", "REPLICAS"]:
                columns = ["name", "socket_address", "sync_mode", "system_info", "data_info"]
                return columns, self.rows
            case ["SHOW", "VERSION"]:
                return ["version"], [[self.version]]
            case ["SHOW", "STORAGE", "INFO", *rest]:
                if rest and not self.knows_current_database:
                    raise Refuse("Error on line 1 position 19. mismatched input 'CURRENT'")
                rows = [["name", "memgraph"], ["database_uuid", self.storage_uuid]]
                return ["storage info", "value"], rows
            case ["MATCH", *_]:
                return ["nodes"], [[self.node_count]]
            case ["SET", "REPLICATION", "ROLE", "TO", wanted, *_]:
                self._set_role(wanted.lower())
        return [], []

    def _set_role(self, wanted: str) -> None:
        if wanted == self.role:
            name = "replication role to main" if wanted == "main" else "role to replica"
            raise Refuse(f"Couldn't set {name}!")
        self.role, self.rows = wanted, []


class _Conversation:
    """One connection."""

    def __init__(self, server: ScriptedServer, number: int, stream: trio.SocketStream) -> None:
        self.server, self.number, self.stream = server, number, stream
        self.reader = MessageReader(stream)
        self.statement = ""
        self.has_failed = False

    async def run(self) -> None:
        if self.server.is_silent:
            await self._hang()
        await self.reader.read_exactly(20)
        await self.stream.send_all(b"\0\0\2\5")
        while data := await self.reader.read_message():
            message = unpack(data)
            await self._take(message.tag, message.fields)

    async def _take(self, tag: int, fields: tuple[Any, ...]) -> None:
        if tag == RESET:
            self.has_failed = False
            await self._send(SUCCESS, {})
        elif tag == GOODBYE:
            raise Gone
        elif self.has_failed:
            await self._send(IGNORED)
        else:
            await self._work(tag, fields)

    async def _work(self, tag: int, fields: tuple[Any, ...]) -> None:
        try:
            if tag == RUN:
                await self._run(fields[0])
            elif tag == PULL:
                await self._pull()
            else:
                await self._greet(tag, fields)
        except Refuse as refusal:
            self.has_failed = True
            await self._send(FAILURE, {"code": CODE, "message": str(refusal)})

    async def _greet(self, tag: int, fields: tuple[Any, ...]) -> None:
        wanted = self.server.password
        if tag == LOGON and wanted and fields[0].get("credentials") != wanted:
            failure = {"code": AUTH_CODE, "message": "Authentication failure"}
            await self._send(FAILURE, failure)
            raise Gone
        name = "Neo4j/v5.11.0 compatible graph database server - Memgraph"
        await self._send(SUCCESS, {"server": name, "connection_id": f"bolt-{self.number}"})

    async def _run(self, statement: str) -> None:
        self.statement = statement
        self.server.seen.append((self.number, statement))
        if self.server.fault(statement, HANG_AT_RUN):
            await self._hang()
        columns: list[str] = []
        if statement.startswith(("SHOW", "MATCH")):
            with suppress(Refuse):  # refused at PULL, where it is carried out
                columns = self.server.answer_of(statement)[0]
        await self._send(SUCCESS, {"fields": columns})

    async def _pull(self) -> None:
        if self.server.fault(self.statement, HANG):
            await self._hang()
        if self.server.fault(self.statement, DROP_BEFORE):
            raise Gone
        drop_reply = self.server.fault(self.statement, DROP_REPLY)
        _, rows = self.server.carry_out(self.statement)
        if drop_reply:
            raise Gone
        for row in rows:
            await self._send(RECORD, row)
        await self._send(SUCCESS, {"has_more": False, "type": "rw", "db": "memgraph"})

    async def _hang(self) -> None:
        """Say nothing, but notice when the client leaves."""
        while await self.stream.receive_some():
            pass
        raise Gone

    async def _send(self, tag: int, *fields: Any) -> None:
        await self.stream.send_all(chunked(pack(Structure(tag, fields))))
