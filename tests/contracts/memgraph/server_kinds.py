"""The two kinds of server that the suite runs on: our stand-in and a real binary.

Promise: both are started with the same flags, on addresses of 127/8 and ports of their own, in
directories of their own, and are told apart by nothing else. A real Memgraph binds its replication
port on every address, so each server has a port of its own there.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Protocol

import attrs

CHECKOUT = Path(__file__).resolve().parents[3]
REPLICATION_PORTS = itertools.count(20000 + os.getpid() % 40 * 300)
HELP_S = 10.0


class Process(Protocol):
    """A server's process."""

    pid: int

    def poll(self) -> int | None:
        """The exit code (negative: the signal), None while it runs."""

    def kill(self) -> None:
        """SIGKILL, if it runs; `poll` tells when it is gone."""


class Kind(Protocol):
    """How to have a server of this kind."""

    name: str
    is_real: bool

    def launch(
        self, argv: Sequence[str], env: Mapping[str, str], directory: Path, host: str
    ) -> Process:
        """Start it with these flags; what it prints is in `directory/output`."""


@attrs.define(eq=False)
class Forked:
    """A child of the fork server."""

    pid: int
    exit_file: Path

    def poll(self) -> int | None:
        return int(self.exit_file.read_text()) if self.exit_file.exists() else None

    def kill(self) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


@attrs.define(eq=False)
class StandIn:
    """Our stand-in, imitating one release."""

    release: str
    server: subprocess.Popen[bytes]
    exits: Path
    name: str = "stand-in"
    is_real: bool = False

    def launch(
        self, argv: Sequence[str], env: Mapping[str, str], directory: Path, host: str
    ) -> Process:
        order = {
            "argv": [*argv, f"--stand-in-version={self.release}"],
            "env": dict(env),
            "directory": str(directory),
            "output": str(directory / "output"),
        }
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(order).encode() + b"\n")
        self.server.stdin.flush()
        pid = int(self.server.stdout.readline())
        return Forked(pid, self.exits / str(pid))


@contextmanager
def fork_server(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The process that stand-ins are forked from, and where their exit codes are written."""
    exits = directory / "exits"
    exits.mkdir()
    command = [sys.executable, str(Path(__file__).with_name("fork_server.py")), str(exits)]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=directory
    ) as server:
        yield server, exits
        assert server.stdin is not None
        server.stdin.close()
        server.wait()


class Child:
    """A real server's process."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.pid = popen.pid
        self._popen = popen

    def poll(self) -> int | None:
        return self._popen.poll()

    def kill(self) -> None:
        self._popen.kill()


@attrs.define(eq=False)
class Real:
    """A real Memgraph binary. Flags that it does not have are fatal to it: optional ones are given
    only when its own help lists them."""

    binary: Path
    known: frozenset[str]
    name: str = "real"
    is_real: bool = True

    def launch(
        self, argv: Sequence[str], env: Mapping[str, str], directory: Path, host: str
    ) -> Process:
        own = {
            "telemetry-enabled": "false",
            "log-level": "INFO",
            "also-log-to-stderr": "true",
            "monitoring-address": host,
            "metrics-address": host,
        }
        more = [f"--{name}={value}" for name, value in own.items() if self.knows(name)]
        with (directory / "output").open("ab") as output:
            popen = subprocess.Popen(
                [str(self.binary), *argv, *more],
                cwd=directory,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return Child(popen)

    def knows(self, flag: str) -> bool:
        """Whether the binary has this flag; when its help cannot be read: yes."""
        return not self.known or flag.replace("-", "_") in self.known


@cache
def real_kind(binary: str) -> Real:
    """The kind for a path. Raises AssertionError when nothing can be run there."""
    path = Path(binary).resolve()
    assert os.access(path, os.X_OK), f"MEMGRAPH_BINARY: {binary} is no program"
    return Real(path, flags_of(path))


def flags_of(binary: Path) -> frozenset[str]:
    """The names of the flags that the binary's help lists; empty when it cannot be read."""
    try:
        told = subprocess.run(
            [str(binary), "--help-xml"], capture_output=True, timeout=HELP_S, check=False
        ).stdout
    except subprocess.TimeoutExpired:
        return frozenset()
    begin, end = told.find(b"<AllFlags"), told.rfind(b"</AllFlags>")
    if begin < 0 or end < 0:
        return frozenset()
    root = ElementTree.fromstring(told[begin : end + len(b"</AllFlags>")])
    names = (name.text or "" for name in root.iterfind("flag/name"))
    return frozenset(name.replace("-", "_") for name in names)
