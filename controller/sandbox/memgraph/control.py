"""Faults on command: a unix socket that takes one JSON object a line and answers with one.

Promise: `{"ok": true, ...state}` after the fault is in force, `{"ok": false, "error": ...}` for
anything not understood. The socket answers even while the stand-in is hung or partitioned.

Commands, in `"do"`:
    hang, unhang                    every link stops, both ways; nothing is lost
    slow {"ms": N}                  each answer (Bolt and replication) comes N ms later; 0 ends it
    drop-reply {"count": N=1}       the next N outcomes of statements are not sent: the effect is
                                    there, then the connection is closed
    partition {"peers": [ip, ...]}  stop links from and to these addresses; without `peers`: all
    deaf, mute {"peers": [ip, ...]} a partition one way: nothing comes from, or goes to, these
    heal                            ends every partition
    refuse {"port": P}              P is "bolt" or "replication": its port is closed to new dials,
                                    connections that exist go on; `accept` opens it again
    lock-busy {"count": N=1}        the next N SET ROLE, REGISTER, DROP fail with their lock texts
    lose-finalize {"count": N=1}    the next N second phases of a commit are not sent
    disk-full {"on": true}          every write to the disk fails: a commit ends the process by
                                    SIGABRT, as Memgraph asserts; registrations cannot be persisted
    drop-crash {"count": N=1}       the next N DROP REPLICA that find a check or recovery of that
                                    replica under way end the process by SIGSEGV (MEMGRAPH L8)
    drop-hang {"count": N=1}        the same, but the process hangs
    power-cut {"torn": false}       what was not flushed to the disk is lost, the process with it;
                                    `torn` leaves half a record of it
    status                          changes nothing
"""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from controller.sandbox.memgraph.faults import Faults

LINE_BYTES_MAX = 64 * 1024
PORTS = ("bolt", "replication")

Command = dict[str, Any]


async def serve_control(
    path: Path, faults: Faults, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Listen on `path` until cancelled; a stale socket file is replaced. Started once it listens:
    whoever finds Bolt open may count on this one."""
    _make_room(path)
    listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    await listener.bind(str(path))
    listener.listen(16)
    task_status.started()

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                await _converse(stream, faults)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    await trio.serve_listeners(serve, [trio.SocketListener(listener)])


def _make_room(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)


async def _converse(stream: trio.SocketStream, faults: Faults) -> None:
    buffer = bytearray()
    while data := await stream.receive_some():
        buffer += data
        while (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            await stream.send_all(json.dumps(obey(line, faults)).encode() + b"\n")
        if len(buffer) > LINE_BYTES_MAX:
            return


def obey(line: bytes, faults: Faults) -> dict[str, Any]:
    """Put one command in force and tell the state."""
    try:
        command = json.loads(line)
        _COMMANDS[command["do"]](faults, command)
    except (ValueError, TypeError, KeyError) as problem:
        return {"ok": False, "error": f"not understood: {problem}"}
    faults.changed()
    return {
        "ok": True,
        "hung": faults.hung,
        "slow_ms": round(faults.slow_s * 1000),
        "partitioned": faults.partitioned,
        "silent_peers": sorted(faults.silent_peers),
        "drop_replies": faults.drop_replies,
        "lock_busy": faults.lock_busy,
        "lose_finalize": faults.lose_finalize,
        "deaf_to": sorted(faults.deaf_to),
        "mute_to": sorted(faults.mute_to),
        "refused_ports": sorted(faults.refused_ports),
        "disk_full": faults.disk_full,
        "drop_crash": faults.drop_crash,
        "drop_hang": faults.drop_hang,
    }


def _hang(faults: Faults, command: Command) -> None:
    faults.hung = True


def _unhang(faults: Faults, command: Command) -> None:
    faults.hung = False


def _slow(faults: Faults, command: Command) -> None:
    faults.slow_s = max(0.0, float(command["ms"])) / 1000


def _partition(faults: Faults, command: Command) -> None:
    peers = command.get("peers")
    if peers is None:
        faults.partitioned = True
    else:
        faults.silent_peers |= {str(peer) for peer in peers}


def _deaf(faults: Faults, command: Command) -> None:
    faults.deaf_to |= {str(peer) for peer in command["peers"]}


def _mute(faults: Faults, command: Command) -> None:
    faults.mute_to |= {str(peer) for peer in command["peers"]}


def _heal(faults: Faults, command: Command) -> None:
    faults.partitioned = False
    faults.silent_peers = faults.deaf_to = faults.mute_to = frozenset()


def _refuse(faults: Faults, command: Command) -> None:
    faults.refused_ports |= {_port(command)}


def _accept(faults: Faults, command: Command) -> None:
    faults.refused_ports -= {_port(command)}


def _port(command: Command) -> str:
    name = str(command["port"])
    if name not in PORTS:
        raise ValueError(f"no port {name}")
    return name


def _disk_full(faults: Faults, command: Command) -> None:
    faults.disk_full = bool(command.get("on", True))


def _power_cut(faults: Faults, command: Command) -> None:
    if faults.lose_power is None:
        raise ValueError("there is no disk")
    faults.lose_power(bool(command.get("torn", False)))


def _counted(name: str) -> Callable[[Faults, Command], None]:
    def set_count(faults: Faults, command: Command) -> None:
        setattr(faults, name, max(0, int(command.get("count", 1))))

    return set_count


def _nothing(faults: Faults, command: Command) -> None:
    return


_COMMANDS: dict[str, Callable[[Faults, Command], None]] = {
    "hang": _hang,
    "unhang": _unhang,
    "slow": _slow,
    "partition": _partition,
    "deaf": _deaf,
    "mute": _mute,
    "heal": _heal,
    "refuse": _refuse,
    "accept": _accept,
    "disk-full": _disk_full,
    "power-cut": _power_cut,
    "drop-crash": _counted("drop_crash"),
    "drop-hang": _counted("drop_hang"),
    "drop-reply": _counted("drop_replies"),
    "lock-busy": _counted("lock_busy"),
    "lose-finalize": _counted("lose_finalize"),
    "status": _nothing,
}
