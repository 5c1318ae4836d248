"""The proxies that are compared: each is started on the proxy's core, and knows how to cut."""

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
PROXY_CPU, LOAD_CPU = 0, 1
PORTS = range(10_000, 30_000)
OURS, HAPROXY, TUNED, GO, DIRECT = "ours", "haproxy", "haproxy tuned", "go", "direct"

HAPROXY_CFG = """
global
    maxconn 6000
    nbthread 1
    stats socket {control} mode 600 level admin
    {tune}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    {splice}
frontend clients
    bind 127.0.0.1:{port}
    default_backend instances
backend instances
    server main 127.0.0.1:{upstream}
"""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now. As Bolt's it lies outside of the range from which
    the kernel gives ports to those who connect: a dial cannot meet itself there."""
    for port in random.sample(PORTS, 100):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise RuntimeError("no port is free")


def pinned(cpu: int) -> Callable[[], None]:
    """For a child: only this core."""
    return lambda: os.sched_setaffinity(0, {cpu})


class Peer:
    """One running proxy. `pids` are its processes, `cut` ends all its sessions."""

    def __init__(
        self, name: str, port: int, process: subprocess.Popen[str] | None, control: str = ""
    ) -> None:
        self.name, self.port, self._process, self._control = name, port, process, control

    @property
    def pids(self) -> list[int]:
        """Of the proxy and its children."""
        assert self._process is not None
        pid = self._process.pid
        children = [p.read_text().split() for p in Path(f"/proc/{pid}/task").glob("*/children")]
        return [pid, *(int(child) for some in children for child in some)]

    def cut(self) -> float:
        """Command it; returns when, monotonic."""
        if self._control:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(self._control)
                at_s = time.monotonic()
                sock.sendall(b"shutdown sessions server instances/main\n")
                while sock.recv(4096):
                    pass
            return at_s
        assert self._process is not None
        assert self._process.stdin is not None
        at_s = time.monotonic()
        self._process.stdin.write("cut\n")
        self._process.stdin.flush()
        return at_s


@contextmanager
def child(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A process on the proxy's core; ended at exit."""
    process = subprocess.Popen(
        [str(word) for word in words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=pinned(PROXY_CPU),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_listening(port: int) -> None:
    """Until somebody takes connections there."""
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nobody listens on {port}")


def start_ours(stack: ExitStack, upstream: int, workers: int) -> Peer:
    """The gateway of this checkout."""
    port = free_port()
    words = (sys.executable, HERE / "subject.py", str(port), str(upstream))
    process = stack.enter_context(child(*words, "--workers", str(workers)))
    assert process.stdout is not None
    if "listening" not in process.stdout.readline():
        raise RuntimeError("the gateway did not start")
    return Peer(OURS, port, process)


def start_haproxy(stack: ExitStack, upstream: int, where: Path, is_tuned: bool) -> Peer:
    """In TCP mode, one thread; tuned: buffers of 64 KiB and splicing."""
    port, name = free_port(), TUNED if is_tuned else HAPROXY
    control = where / f"{'tuned' if is_tuned else 'plain'}.sock"
    config = where / f"{control.stem}.cfg"
    config.write_text(
        HAPROXY_CFG.format(
            control=control,
            port=port,
            upstream=upstream,
            tune="tune.bufsize 65536" if is_tuned else "",
            splice="option splice-auto" if is_tuned else "",
        )
    )
    process = stack.enter_context(child("haproxy", "-db", "-f", config))
    wait_listening(port)
    return Peer(name, port, process, str(control))


def start_go(stack: ExitStack, upstream: int, where: Path) -> Peer:
    """io.Copy both ways."""
    subprocess.run(["go", "build", "-o", where / "peer", HERE / "peer.go"], check=True)
    port = free_port()
    process = stack.enter_context(child(where / "peer", str(port), str(upstream)))
    wait_listening(port)
    return Peer(GO, port, process)


def start_all(stack: ExitStack, upstream: int, where: Path, workers: int) -> list[Peer]:
    """Every proxy that this machine has; a missing one is named."""
    os.environ["PATH"] += ":/usr/local/go/bin:/usr/sbin"
    peers = [start_ours(stack, upstream, workers)]
    if shutil.which("haproxy"):
        peers.append(start_haproxy(stack, upstream, where, is_tuned=False))
        peers.append(start_haproxy(stack, upstream, where, is_tuned=True))
    else:
        print("missing: haproxy (a package of the system); its columns are left out")
    if shutil.which("go"):
        peers.append(start_go(stack, upstream, where))
    else:
        print("missing: go (the toolchain); its column is left out")
    return peers
