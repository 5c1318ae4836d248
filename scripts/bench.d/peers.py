"""The proxies that are compared: each is started on the proxy's core, and can be told what to do.

A relay stands beside a controller that works. So "busy" means for all of them the same: a Python
process of the controller's niceness on the proxy's core that computes for 5 ms every 50 ms. For
ours that is its own controller's side, for the others one beside them.
"""

import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CERTIFICATES = ROOT / "tests" / "gateway" / "certs"
PROXY_CPU, LOAD_CPU = 0, 1
PORTS = range(10_000, 30_000)
OURS, HAPROXY, TUNED, GO, DIRECT = "ours", "haproxy", "haproxy tuned", "go", "direct"
C = "in C"  # a measuring stick: what of a figure is Python's, and what is the machine's
ANSWER_S = 20.0  # of a proxy that is told something, or starts

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
    bind 127.0.0.1:{port} {tls}
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


@attrs.define(eq=False)
class Peer:
    """One running proxy.

    Attributes:
      process: None: there is no proxy, clients go straight to the server.
      control: HAProxy's own socket; "": words go to stdin.
      beside: the busy process beside it; None: it is its own controller's side.
    """

    name: str
    port: int
    process: "subprocess.Popen[str] | None" = None
    control: str = ""
    beside: "subprocess.Popen[str] | None" = None

    @property
    def pids(self) -> list[int]:
        """Of the proxy and its children."""
        if self.process is None:
            return []
        pid = self.process.pid
        children = [p.read_text().split() for p in Path(f"/proc/{pid}/task").glob("*/children")]
        return [pid, *(int(child) for some in children for child in some)]

    def tell(self, word: str) -> float:
        """A word to its stdin; returns when it was sent, monotonic."""
        assert self.process is not None
        assert self.process.stdin is not None
        at_s = time.monotonic()
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        if self.name == OURS:
            expect(self.process, "done")
        return at_s

    def cut(self) -> float:
        """End all its sessions; returns when that was commanded, monotonic."""
        if not self.control:
            return self.tell("cut")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(ANSWER_S)
            sock.connect(self.control)
            at_s = time.monotonic()
            sock.sendall(b"shutdown sessions server instances/main\n")
            while sock.recv(4096):
                pass
        return at_s

    @contextmanager
    def busy(self, is_busy: bool) -> Iterator[None]:
        """With a controller that works, if it is to."""
        if not is_busy or self.process is None:
            yield
            return
        if self.beside is None:
            self.tell("busy")
        else:
            self.beside.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            if self.beside is None:
                self.tell("calm")
            else:
                self.beside.send_signal(signal.SIGSTOP)


def expect(process: "subprocess.Popen[str]", word: str) -> None:
    """Read its next line, the only one that there is.

    Raises:
      RuntimeError: it says something else, or nothing for ANSWER_S.
    """
    assert process.stdout is not None
    is_there, _, _ = select.select([process.stdout], [], [], ANSWER_S)
    line = process.stdout.readline() if is_there else ""
    if word not in line:
        raise RuntimeError(f"{process.args!r}: {line!r} instead of {word!r}")


@contextmanager
def child(*words: object, cpu: int = PROXY_CPU) -> Iterator["subprocess.Popen[str]"]:
    """A process on the proxy's core, or on another one; killed at exit."""
    process = subprocess.Popen(
        [str(word) for word in words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=pinned(cpu),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_listening(port: int) -> None:
    """Until somebody takes connections there."""
    until_s = time.monotonic() + ANSWER_S
    while time.monotonic() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nobody listens on {port}")


@attrs.define(eq=False)
class Yard:
    """Starts proxies; everything ends with `stack`.

    Args:
      where: a directory for what they need.
      workers: GATEWAY_WORKERS of ours.
      python: what ours runs on; "": this one.
    """

    stack: ExitStack
    where: Path
    workers: int = 1
    python: str = ""
    beside: "subprocess.Popen[str] | None" = None

    def start_all(self, upstream: int, *, is_tls: bool = False) -> list[Peer]:
        """Every proxy that this machine has. Those in Go and C speak no TLS."""
        peers = [self.ours(upstream, is_tls=is_tls)]
        if shutil.which("haproxy"):
            peers.append(self.haproxy(upstream, is_tuned=False, is_tls=is_tls))
            peers.append(self.haproxy(upstream, is_tuned=True, is_tls=is_tls))
        if shutil.which("go") and not is_tls:
            peers.append(self.go(upstream))
        if not is_tls:
            peers.append(self.c(upstream))
        return peers

    def start(self, name: str, upstream: int) -> Peer:
        """One, by its name."""
        if name == OURS:
            return self.ours(upstream)
        if name == GO:
            return self.go(upstream)
        if name == C:
            return self.c(upstream)
        return self.haproxy(upstream, is_tuned=name == TUNED)

    def ours(self, *upstreams: int, kind: str = "rw", is_tls: bool = False) -> Peer:
        """The gateway of this checkout."""
        port = free_port()
        words: list[str | Path] = [self.python or sys.executable, HERE / "subject.py", str(port)]
        words += [*map(str, upstreams), "--workers", str(self.workers), "--kind", kind]
        if is_tls:
            words += ["--tls", CERTIFICATES / "server.pem", CERTIFICATES / "server.key"]
        process = self.stack.enter_context(child(*words))
        expect(process, "listening")
        return Peer(OURS, port, process)

    def haproxy(self, upstream: int, *, is_tuned: bool, is_tls: bool = False) -> Peer:
        """In TCP mode, one thread; tuned: buffers of 64 KiB and splicing."""
        port, name = free_port(), TUNED if is_tuned else HAPROXY
        control = self.where / f"{port}.sock"
        pem = self.where / "server.pem"
        parts = [CERTIFICATES / f"server.{end}" for end in ("pem", "key")]
        pem.write_text("".join(part.read_text() for part in parts))
        config = self.where / f"{port}.cfg"
        config.write_text(
            HAPROXY_CFG.format(
                control=control,
                port=port,
                upstream=upstream,
                tls=f"ssl crt {pem}" if is_tls else "",
                tune="tune.bufsize 65536" if is_tuned else "",
                splice="option splice-auto" if is_tuned else "",
            )
        )
        process = self.stack.enter_context(child("haproxy", "-db", "-f", config))
        wait_listening(port)
        return Peer(name, port, process, str(control), self._beside())

    def go(self, upstream: int) -> Peer:
        """io.Copy both ways."""
        return self._built(GO, "peer.go", "go", "build", upstream=upstream)

    def c(self, upstream: int) -> Peer:
        """Our own design without Python."""
        return self._built(C, "peer.c", "cc", "-O2", upstream=upstream)

    def _built(self, name: str, source: str, *compiler: str, upstream: int) -> Peer:
        binary, port = self.where / source.replace(".", "-"), free_port()
        if not binary.exists():
            subprocess.run([*compiler, "-o", binary, HERE / source], check=True)
        process = self.stack.enter_context(child(binary, port, upstream))
        wait_listening(port)
        return Peer(name, port, process, beside=self._beside())

    def _beside(self) -> "subprocess.Popen[str]":
        if self.beside is None:
            self.beside = self.stack.enter_context(child(sys.executable, HERE / "busy.py"))
            expect(self.beside, "ready")
            self.beside.send_signal(signal.SIGSTOP)
        return self.beside


def use_packages() -> None:
    """Let every Python find this checkout, and the packages of the one that runs the bench."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])


def find_peers() -> list[str]:
    """Which ones this machine has not; each is named, and its columns are left out."""
    os.environ["PATH"] += ":/usr/local/go/bin:/usr/sbin"
    missing = []
    if not shutil.which("haproxy"):
        missing.append("haproxy (a package of the system)")
    if not shutil.which("go"):
        missing.append("go (the toolchain)")
    return missing
