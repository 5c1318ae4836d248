"""Whole bytes in bulk, and many sessions at once, through the relay processes of this checkout.

Promise: sends `--gigabytes` each way at the same time over several sessions, in random chunks, with
stalls and half-closes, and compares hashes; opens `--sessions` and proves that all of them work.
Exit code 1 when a byte is missing. Too long for every run of the tests: for nights, and releases.
"""

import argparse
import hashlib
import random
import resource
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from peers import HERE, LOAD_CPU, Yard, free_port, pinned

STREAMS = 4
CHUNK_BYTES_MAX = 1 << 18
STALL_EVERY, STALL_S = 2000, 0.05  # chunks, and how long both the sender and the reader rest
READ_BYTES_MAX = 1 << 19
STEPS = bytes(range(256)) * 2048


class Side(threading.Thread):
    """Sends so many bytes, ends its direction, and hashes what comes until the other's end."""

    def __init__(self, sock: socket.socket, size: int, seed: int) -> None:
        super().__init__()
        self._sock, self._size, self._dice = sock, size, random.Random(seed)
        self.sent, self.received = hashlib.sha256(), hashlib.sha256()
        self.received_bytes = 0

    def run(self) -> None:
        """Both directions at once."""
        reader = threading.Thread(target=self._read)
        reader.start()
        left, chunks = self._size, 0
        while left:
            start = self._dice.randrange(256)
            chunk = STEPS[start : start + min(left, self._dice.randint(1, CHUNK_BYTES_MAX))]
            self._sock.sendall(chunk)
            self.sent.update(chunk)
            left -= len(chunk)
            chunks += 1
            if chunks % STALL_EVERY == 0:
                time.sleep(STALL_S)  # house: the stall is what is tried
        self._sock.shutdown(socket.SHUT_WR)
        reader.join()
        self._sock.close()

    def _read(self) -> None:
        dice, reads = random.Random(self._size), 0
        while data := self._sock.recv(dice.randint(1, READ_BYTES_MAX)):
            self.received.update(data)
            self.received_bytes += len(data)
            reads += 1
            if reads % STALL_EVERY == 0:
                time.sleep(STALL_S)  # house: likewise


def carry(size: int, workers: int) -> bool:
    """Whether all hashes agree."""
    with ExitStack() as stack, socket.create_server(("127.0.0.1", free_port())) as server:
        relay = Yard(stack, HERE, workers).ours(server.getsockname()[1])
        server.settimeout(10)
        sides = []
        for number in range(STREAMS):
            client = socket.create_connection(("127.0.0.1", relay.port), 10)
            client.settimeout(None)
            accepted, _ = server.accept()
            accepted.settimeout(None)
            up, down = size // STREAMS, size // STREAMS - number  # one way ends before the other
            sides.append((Side(client, up, 2 * number), Side(accepted, down, 2 * number + 1)))
        began_s = time.monotonic()
        for pair in sides:
            for side in pair:
                side.start()
        good = True
        for pair in sides:
            for side in pair:
                side.join()
            near, far = pair
            good &= near.sent.digest() == far.received.digest()
            good &= far.sent.digest() == near.received.digest()
        took_s = time.monotonic() - began_s
        print(f"{size / 1e9:g} GB each way in {took_s:.0f} s: {'whole' if good else 'NOT WHOLE'}")
        return good


def hold(sessions: int, workers: int) -> bool:
    """Whether that many sessions at once all carry a request afterwards."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as where:
        binary = Path(where) / "load"
        subprocess.run(["cc", "-O2", "-o", binary, HERE / "load.c", "-lm"], check=True)
        port = free_port()
        server = subprocess.Popen([binary, "server", str(port)], preexec_fn=pinned(LOAD_CPU))
        stack.callback(server.wait)
        stack.callback(server.kill)
        relay = Yard(stack, Path(where), workers).ours(port)
        done = subprocess.run(
            [binary, "hold", str(relay.port), str(sessions)], input="go\n", text=True, timeout=300
        )
        good = done.returncode == 0
        print(f"{sessions} sessions at once: {'all work' if good else 'NOT ALL WORK'}")
        return good


def main() -> None:
    """See the head of this file."""
    words = argparse.ArgumentParser(prog="./scripts/bench gateway-soak", description=__doc__)
    words.add_argument("--gigabytes", type=float, default=1.0)
    words.add_argument("--sessions", type=int, default=10_000)
    words.add_argument("--workers", type=int, default=2)
    given = words.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    good = carry(int(given.gigabytes * 1e9), given.workers)
    good &= hold(given.sessions, given.workers)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
