"""Recorded exchanges with a running Memgraph, asked again.

Promise: every statement of a scene is asked in its order of a fresh set of servers; what differs
from the record is listed, statement by statement, and nothing is forgiven but what the record's own
wildcards allow. A scene goes on after a difference: one cause may show in several answers.

The form of a file: `== TITLE` begins a scene; `name> statement` is asked, the indented line below
is what came back (`keys rows`, or a class and its text, whose end may be "..."); `: step` is done:

    start NAME=PORT ...     fresh servers; PORT is the replication port of the record
    kill, boot, empty NAME  SIGKILL; start again; its data directory is gone
    write, try NAME N LABEL N nodes, one statement each; `try` takes refusals
    wait NAME REPLICA STATUS
    counts NAME ... = N ... nodes on each, as the record's own reads
    taken, freed NAME       its replication port is somebody else's, and free again
    aborts NAME             a start ends with SIGABRT
"""

import ast
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import attrs
from contract_world import Refused, Server, World

DIRECTORY = Path(__file__).with_name("transcripts")
HOST = "127.0.0.1"
LOST = ("invalid", "recovery")  # of a stolen replica: whether a check is under way when asked
CLASSES = re.compile(r"Memgraph\.(\w+)\.MemgraphError\.MemgraphError")


@attrs.frozen
class Scene:
    """One story of a record."""

    name: str
    lines: tuple[str, ...]


def scenes() -> Iterator[Scene]:
    """Every scene of every file."""
    for path in sorted(DIRECTORY.glob("*.txt")):
        _, *parts = re.split(r"(?m)^== ", path.read_text())
        for part in parts:
            title, *lines = part.splitlines()
            used = tuple(line for line in lines if line and not line.startswith("#"))
            yield Scene(f"{path.stem}: {title}", used)


class Replay:
    """One scene on one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._servers: dict[str, Server] = {}
        self._recorded: dict[str, int] = {}
        self._taken: dict[str, socket.socket] = {}
        self.differences: list[str] = []

    async def run(self, scene: Scene) -> None:
        """Do and ask everything; see `differences`."""
        try:
            for at, line in enumerate(scene.lines):
                if line.startswith(": "):
                    await self._step(*line[2:].split())
                elif not line.startswith("  "):
                    name, _, statement = line.partition("> ")
                    await self._ask(name, statement, scene.lines[at + 1].strip())
        finally:
            for listener in self._taken.values():
                listener.close()

    async def _ask(self, name: str, statement: str, recorded: str) -> None:
        got: Any
        try:
            answer = await self._servers[name].ask(self._here(statement))
            got = (answer.keys, answer.rows)
        except Refused as refused:
            found = CLASSES.fullmatch(refused.code)
            got = (found[1] if found else refused.code, refused.message)
        got = self._there(got)
        if got != expectation(recorded):
            self.differences.append(f"{name}> {statement} -> {got!r}")

    async def _step(self, verb: str, *words: str) -> None:
        if verb == "start":
            for name, _, port in (word.partition("=") for word in words):
                self._recorded[name] = int(port or 0)
            servers = await self._world.start(*self._recorded)
            self._servers = dict(zip(self._recorded, servers, strict=True))
            return
        name, *rest = words
        server = self._servers[name]
        match verb:
            case "kill":
                await server.kill()
            case "boot":
                await server.start()
            case "empty":
                server.data.rename(server.directory / "lost")
            case "write" | "try":
                await self._write(server, int(rest[0]), rest[1], verb == "try")
            case "wait":
                await server.wait_status(rest[0], rest[1])
            case "counts":
                await self._count(words)
            case "taken":
                self._taken[name] = socket.create_server(("0.0.0.0", server.replication_port))
            case "freed":
                self._taken.pop(name).close()
            case "aborts":
                server.spawn()
                assert await server.wait_end() == -signal.SIGABRT
            case _:
                raise AssertionError(f"no such step: {verb}")

    async def _write(self, server: Server, count: int, label: str, may_fail: bool) -> None:
        for _ in range(count):
            try:
                await server.ask(f"CREATE (n:{label})")
            except Refused:
                if not may_fail:
                    raise

    async def _count(self, words: tuple[str, ...]) -> None:
        half = words.index("=")
        for name, number in zip(words[:half], words[half + 1 :], strict=True):
            count = await self._servers[name].count()
            if count != int(number):
                self.differences.append(f"{name} holds {count} nodes, recorded {number}")

    # -- addresses: the record's servers shared one host, ours have one each

    def _here(self, statement: str) -> str:
        for name, recorded in self._recorded.items():
            server = self._servers[name]
            statement = statement.replace(f'"{HOST}:{recorded}"', f'"{server.address}"')
            statement = statement.replace(f"PORT {recorded}", f"PORT {server.replication_port}")
            next_port = str(server.replication_port + 1)
            statement = statement.replace(f"{{{name}+1}}", next_port)
        return statement

    def _there(self, got: Any) -> Any:
        if isinstance(got, str):
            for name, recorded in self._recorded.items():
                got = got.replace(self._servers[name].address, f"{HOST}:{recorded}")
            return got
        if isinstance(got, dict):
            return {key: self._there(value) for key, value in got.items()}
        if isinstance(got, list | tuple):
            return type(got)(self._there(value) for value in got)
        return got


class OneOf:
    """Equal to each of some values."""

    def __init__(self, *values: object) -> None:
        self._values = values

    def __eq__(self, other: object) -> bool:
        return other in self._values

    def __hash__(self) -> int:
        return hash(self._values)


class Beginning:
    """Equal to every text that begins so: the rest is a list of Memgraph's own words."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other.startswith(self._text)

    def __hash__(self) -> int:
        return hash(self._text)


def recovering(behind: int, ts: int) -> OneOf:
    """The facts of a replica that is being brought up to date, and of one that just has been."""
    under_way = {"behind": behind, "status": "recovery", "ts": ts}
    return OneOf(under_way, {"behind": 0, "status": "ready", "ts": ts - behind})


def expectation(recorded: str) -> Any:
    """(keys, rows), or (class, text)."""
    word, _, rest = recorded.partition(" ")
    if word.isidentifier():
        text = ast.literal_eval(rest)
        return word, Beginning(text[:-3]) if text.endswith("...") else text
    end = recorded.index("] [") + 1
    return ast.literal_eval(recorded[:end]), _value(recorded[end:])


def _value(text: str) -> Any:
    """A literal in which ANY, LOST and RECOVERING may stand for values."""

    def build(node: ast.expr) -> Any:
        match node:
            case ast.Name("ANY"):
                return ANY
            case ast.Name("LOST"):
                return OneOf(*LOST)
            case ast.Call(ast.Name("RECOVERING"), [behind, ts]):
                return recovering(ast.literal_eval(behind), ast.literal_eval(ts))
            case ast.List():
                return [build(item) for item in node.elts]
            case ast.Tuple():
                return tuple(build(item) for item in node.elts)
            case ast.Dict():
                keys = [build(key) for key in node.keys if key is not None]
                return dict(zip(keys, map(build, node.values), strict=True))
            case _:
                return ast.literal_eval(node)

    return build(ast.parse(text.strip(), mode="eval").body)
