"""Figures for the relay, measured by hand: `python tests/gateway/bench_relay.py`. Not a test.

Gateway, server and load run in three processes. Prints: time to cut 1000 sessions, requests per
second of 128 connections straight and through the gateway (alternating rounds), and bulk MB/s.
"""

import multiprocessing as mp
import selectors
import socket
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

import trio

from gateway import Gateway, Kind, Limits, Route, Upstream

ROUNDS = 5
ROUND_S = 1.5
MESSAGE_BYTES = 64
BULK_BYTES = 1 << 30
SESSIONS = 1000


def serve_echo(pipe: Connection) -> None:
    """Echo small messages; a message that starts with B is answered with BULK_BYTES."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2000)
    pipe.send(listener.getsockname()[1])
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    blob = bytes(1 << 20)
    while True:
        for key, _ in selector.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock is listener:
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(client, selectors.EVENT_READ)
                continue
            try:
                data = sock.recv(65536)
            except OSError:
                data = b""
            if not data:
                selector.unregister(sock)
                sock.close()
            elif data[:1] == b"B":
                for _ in range(BULK_BYTES >> 20):
                    sock.sendall(blob)
            else:
                sock.send(data)


def serve_gateway(pipe: Connection, port: int) -> None:
    """Relay to that port; on any word cut everything and answer (count, seconds)."""
    trio.run(_gateway, pipe, port)


async def _gateway(pipe: Connection, port: int) -> None:
    def verify(upstream: Upstream) -> None:
        gateway.confirm(upstream, trio.current_time())

    limits = Limits(connections_max=10_000)
    gateway = Gateway(Kind.RW, limits, need_confirmation=verify)
    gateway.serve_until(trio.current_time() + 3600)
    gateway.apply(Route(1, (Upstream("memgraph-0", 1, "127.0.0.1", port),), "bench"))
    async with trio.open_nursery() as nursery:
        address = await nursery.start(gateway.run, "127.0.0.1", 0)
        pipe.send(address[1])
        while True:
            await trio.lowlevel.wait_readable(pipe.fileno())
            pipe.recv()
            term = (gateway.counters.term or 0) + 1
            began_s = time.perf_counter()
            cut = gateway.apply(Route(term, (), "bench cut"))
            took_s = time.perf_counter() - began_s
            gateway.apply(Route(term, (Upstream("memgraph-0", 1, "127.0.0.1", port),), "bench"))
            pipe.send((cut, took_s))


def connect(port: int, connections: int) -> list[socket.socket]:
    """Connections that have each had one answer."""
    socks = []
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.send(b"x" * MESSAGE_BYTES)
        sock.recv(MESSAGE_BYTES)
        socks.append(sock)
    return socks


def requests_per_s(port: int, connections: int) -> float:
    """Closed loop over that many connections."""
    socks = connect(port, connections)
    poll = selectors.EpollSelector()
    message = b"x" * MESSAGE_BYTES
    for sock in socks:
        poll.register(sock, selectors.EVENT_READ)
        sock.send(message)
    done, began_s = 0, time.perf_counter()
    while time.perf_counter() < began_s + ROUND_S:
        for key, _ in poll.select(1):
            ready = key.fileobj
            assert isinstance(ready, socket.socket)
            ready.recv(65536)
            ready.send(message)
            done += 1
    took_s = time.perf_counter() - began_s
    poll.close()
    for sock in socks:
        sock.close()
    return done / took_s


def bulk_mb_per_s(port: int, _connections: int) -> float:
    """One stream down."""
    sock = connect(port, 1)[0]
    sock.send(b"B")
    got, began_s, buffer = 0, time.perf_counter(), bytearray(1 << 20)
    while got < BULK_BYTES:
        got += sock.recv_into(buffer)
    sock.close()
    return got / 1e6 / (time.perf_counter() - began_s)


def compare(
    name: str, measure: Callable[[int, int], float], ports: tuple[int, int], connections: int
) -> None:
    """Medians of alternating rounds."""
    rounds = [[measure(port, connections) for port in ports] for _ in range(ROUNDS)]
    straight, relayed = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{name}: {straight:,.0f} straight, {relayed:,.0f} relayed, {relayed / straight:.2f}x")


def measure_cut(port: int, pipe: Connection) -> None:
    """Apply's own time, and the time until the last client has seen its end."""
    for _ in range(3):
        socks = connect(port, SESSIONS)
        began_s = time.perf_counter()
        pipe.send("cut")
        for sock in socks:
            with suppress(ConnectionResetError):
                sock.recv(1)
            sock.close()
        seen_s = time.perf_counter() - began_s
        cut, took_s = pipe.recv()
        print(f"cut {cut} sessions: {took_s * 1e3:.1f} ms, all seen in {seen_s * 1e3:.1f} ms")


def main() -> None:
    """Start both processes, measure, end them."""
    mine, theirs = mp.Pipe()
    server = mp.Process(target=serve_echo, args=(theirs,), daemon=True)
    server.start()
    straight = mine.recv()
    gateway_mine, gateway_theirs = mp.Pipe()
    gateway = mp.Process(target=serve_gateway, args=(gateway_theirs, straight), daemon=True)
    gateway.start()
    relayed = gateway_mine.recv()
    try:
        measure_cut(relayed, gateway_mine)
        compare("requests/s, 128 connections", requests_per_s, (straight, relayed), 128)
        compare("requests/s, 1 connection", requests_per_s, (straight, relayed), 1)
        compare("bulk MB/s, 1 stream", bulk_mb_per_s, (straight, relayed), 1)
    finally:
        for process in (gateway, server):
            process.terminate()
            process.join()


if __name__ == "__main__":
    main()
