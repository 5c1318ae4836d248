"""How fast and how small the Memgraph stand-in is, on this machine, as it is now.

Promise: prints what it measured and what is asked for; a figure that falls short makes exit code 1.
The clients are raw sockets in one process beside the stand-ins, so that they cost little; a figure
is of value only on a machine that does nothing else, so the load average is printed first.
"""

import argparse
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from controller.sandbox.memgraph.bolt.packstream import Structure, pack

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 16
SECONDS_S = 5.0
NODES = 100_000
START_DEADLINE_S = 60.0
WRITES_MIN = 1500  # a second, without replicas
STRICT_WRITES_MIN = 600  # a second, with one STRICT_SYNC replica
START_MAX_S = 0.5
RECOVERY_MAX_S = 5.0
IDLE_MAX_MIB = 60.0
POLL_S = 0.005


def message(tag: int, *fields: object) -> bytes:
    """One Bolt message in one chunk."""
    data = pack(Structure(tag, fields))
    return len(data).to_bytes(2, "big") + data + b"\0\0"


def statement(text: str) -> bytes:
    """RUN and PULL in one piece, as a pipelining driver sends them."""
    return message(0x10, text, {}, {}) + message(0x3F, {"n": -1})


class Client:
    """One Bolt 5.2 connection that knows only how many answers it waits for."""

    def __init__(self, address: str) -> None:
        self.socket = socket.create_connection((address, 7687))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self.socket.sendall(b"\x60\x60\xb0\x17\0\0\2\5" + bytes(12))
        assert self.socket.recv(4) == b"\0\0\2\5"
        self.call(message(0x01, {"user_agent": "bench"}) + message(0x6A, {"scheme": "none"}))

    def call(self, request: bytes) -> list[bytes]:
        """Send a pair of messages and wait for their two outcomes; records come before them."""
        self.socket.sendall(request)
        answers: list[bytes] = []
        while sum(answer[1] != 0x71 for answer in answers) < 2:
            answers += self.arrived()
        return answers

    def arrived(self) -> list[bytes]:
        """Whole messages after one read; a FAILURE ends the measurement."""
        self._buffer += self.socket.recv(65536)
        messages = []
        while (end := self._next_end()) is not None:
            messages.append(self._buffer[2 : end - 2])
            self._buffer = self._buffer[end:]
        for data in messages:
            assert data[1] != 0x7F, data
        return messages

    def _next_end(self) -> int | None:
        """Where the first message ends; every answer here is small enough for one chunk."""
        if len(self._buffer) < 4:
            return None
        end = int.from_bytes(self._buffer[:2], "big") + 4
        return end if len(self._buffer) >= end else None


@attrs.define(eq=False)
class Stand:
    """One stand-in process on an address of its own."""

    address: str
    directory: Path
    process: subprocess.Popen[bytes] | None = None
    start_s: float = 0.0

    def start(self) -> None:
        began = time.monotonic()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "controller.sandbox.memgraph"),
                f"--bolt-address={self.address}",
                f"--data-directory={self.directory}",
                f"--log-file={self.directory}.log",
            ],
            cwd=ROOT,
        )
        while time.monotonic() < began + START_DEADLINE_S:
            try:
                Client(self.address).socket.close()
            except OSError:
                time.sleep(POLL_S)  # house: a script that waits for another process
            else:
                self.start_s = time.monotonic() - began
                return
        raise TimeoutError(f"the stand-in on {self.address} did not open Bolt")

    def end(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    @property
    def resident_mib(self) -> float:
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        kib = next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))
        return int(kib) / 1024

    @property
    def cpu_s(self) -> float:
        """Processor time used so far, which other work on the machine changes little."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def run(self, text: str) -> None:
        client = Client(self.address)
        client.call(statement(text))
        client.socket.close()


def writing(stands: list[Stand]) -> tuple[float, float]:
    """Writes a second on the first of `stands`, and milliseconds of processor time for one write.

    Small auto-commit writes over 16 connections, each waiting for its own answer.
    """
    began_cpu_s = sum(stand.cpu_s for stand in stands)
    done, took_s = _write_for_a_while(stands[0])
    return done / took_s, (sum(stand.cpu_s for stand in stands) - began_cpu_s) / done * 1000


def _write_for_a_while(stand: Stand) -> tuple[int, float]:
    request = statement("CREATE (:Bench {name: 'small', number: 7})")
    clients = [Client(stand.address) for _ in range(CONNECTIONS)]
    done = 0
    with selectors.DefaultSelector() as selector, ExitStack() as sockets:
        for client in clients:
            sockets.enter_context(client.socket)
            selector.register(client.socket, selectors.EVENT_READ, [client, 0])
            client.socket.sendall(request)
        began = time.monotonic()
        while time.monotonic() < began + SECONDS_S:
            for key, _ in selector.select(1.0):
                client, answers = key.data
                answers += len(client.arrived())
                if answers == 2:
                    done, answers = done + 1, 0
                    client.socket.sendall(request)
                key.data[1] = answers
        return done, time.monotonic() - began


@contextmanager
def stands(directory: Path, *names: str) -> Iterator[list[Stand]]:
    """Fresh stand-ins, ended afterwards."""
    base = f"127.91.{os.getpid() % 250 + 1}"
    made = [Stand(f"{base}.{i + 1}", directory / name) for i, name in enumerate(names)]
    try:
        for stand in made:
            stand.start()
        yield made
    finally:
        for stand in made:
            stand.end()


def measure(directory: Path, nodes: int) -> dict[str, float]:
    """All figures, one after the other."""
    figures: dict[str, float] = {}
    with stands(directory, "alone") as [alone]:
        figures["start_s"] = alone.start_s
        figures["idle_mib"] = alone.resident_mib
        figures["writes_a_second"], figures["write_cpu_ms"] = writing([alone])
    with stands(directory, "main", "replica") as [main, replica]:
        replica.run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000")
        main.run(f'REGISTER REPLICA r STRICT_SYNC TO "{replica.address}:10000"')
        rate, cpu_ms = writing([main, replica])
        figures["strict_writes_a_second"], figures["strict_write_cpu_ms"] = rate, cpu_ms
    with stands(directory, "large") as [large]:
        large.run(f"UNWIND range(1, {nodes}) AS i CREATE (:Node {{id: i, name: 'node'}})")
        figures["loaded_mib"] = large.resident_mib
        large.end()
        large.start()
        figures["log_recovery_s"] = large.start_s
        large.run("CREATE SNAPSHOT")
        large.end()
        large.start()
        figures["snapshot_recovery_s"] = large.start_s
        figures["recovered_mib"] = large.resident_mib
    return figures


LIMITS = {
    "start_s": ("<=", START_MAX_S),
    "idle_mib": ("<=", IDLE_MAX_MIB),
    "writes_a_second": (">=", WRITES_MIN),
    "strict_writes_a_second": (">=", STRICT_WRITES_MIN),
    "log_recovery_s": ("<=", RECOVERY_MAX_S),
    "snapshot_recovery_s": ("<=", RECOVERY_MAX_S),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--nodes", type=int, default=NODES)
    asked = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as directory:
        figures = measure(Path(directory), asked.nodes)
    short = False
    for name, value in figures.items():
        kind, limit = LIMITS.get(name, ("", 0.0))
        good = not kind or (value <= limit if kind == "<=" else value >= limit)
        short = short or not good
        wanted = f"{kind} {limit:g}" if kind else "told only"
        print(f"{name:24} {value:10.2f}   {wanted}{'' if good else '   FALLS SHORT'}")
    if asked.json is not None:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(short)


if __name__ == "__main__":
    main()
