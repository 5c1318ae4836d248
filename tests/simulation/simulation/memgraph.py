"""One Memgraph: a process that comes and goes on a disk that stays (or does not).

Promise: role, rows, locks, restarts and refusals as MEMGRAPH describes them, in virtual time. The
same object lives through all processes of an instance; `process` counts them, and whatever waited
inside of one that died raises Died. What a newcomer gets wrong: replication roles change by
try-lock, so a commit under way refuses them with the text of a permanent error (1.5, L14).
"""

import math
from collections.abc import Callable
from random import Random

import trio

from statemachine.ids import Instance, Mode, Role, RowStatus

from .network import Network
from .storage import MARKER, Disk, Row, SavedRow, Storage

RPC_S = 0.001  # one message between two instances
PREPARE_LIMIT_S = 30.0  # PrepareCommit waits that long for a hung replica (2.2)
FREEZE_S = 10.0  # REGISTER of a silent peer (L9)
BUSY_MAIN = "Couldn't set replication role to main!"
BUSY_REPLICA = "Couldn't set role to replica!"


class Died(Exception):
    """The process is gone, and whoever waited inside of it."""


class Refused(Exception):
    """Memgraph's own words for no; the argument is the text."""


class Unconfirmed(Refused):
    """SYNC: committed here and refused to the client, for a replica has not confirmed it."""


class Instances:
    """All instances of the cluster, by name and by address; owned by the world."""

    def __init__(self, network: Network, dice: Random, spawn: Callable[..., None]) -> None:
        self.network, self.dice, self.spawn = network, dice, spawn
        self.by_name: dict[Instance, Memgraph] = {}
        self.hosts: dict[str, Memgraph] = {}  # pod IP, or stable DNS name, -> who is there now
        self.on_commit: Callable[[Memgraph, int], None] = lambda instance, write: None
        self.on_moment: Callable[[str], None] = lambda moment: None
        self.rpc_s = RPC_S  # faults make it long, so that much happens inside of a commit
        self.note: Callable[[str], None] = lambda text: None
        self.crash: Callable[[str, float], None] = lambda name, down_s: None

    def uuid(self, kind: str) -> str:
        """A new one, readable in traces."""
        return f"{kind}-{self.dice.getrandbits(32):08x}"

    def fresh_disk(self) -> Disk:
        """An empty data directory: its own storage, its own epoch."""
        uuid = self.uuid
        return Disk(uuid("storage"), Role.MAIN, uuid("main"), epoch=uuid("epoch"))

    def at(self, address: str) -> "Memgraph | None":
        """Who answers at "host:port" of replication."""
        return self.hosts.get(address.partition(":")[0])


class Memgraph:
    """One instance. Methods that wait must not be cancelled half-way: the world runs them."""

    def __init__(self, name: Instance, instances: Instances, ip: str) -> None:
        self.name, self.peers, self.ip = name, instances, ip
        self.disk = instances.fresh_disk()
        self.storage = Storage(self.disk)
        self.process = 0
        self.is_up = False
        self.is_hung = False
        self.role, self.rows = Role.MAIN, dict[str, Row]()
        self.engine = trio.Lock()  # held by a commit, exclusively by REGISTER
        self.is_registering = False
        self.tried_at_s = float("-inf")  # the last write, whatever came of it
        self.started_at_s = 0.0
        self.began_epoch = ""  # by the last promotion, in whichever process
        self.role_since_s = 0.0
        self.late_process = 0  # the last one in which a role command landed late
        self._lost_by_process: dict[int, dict[int, float]] = {}
        self.ended_s: dict[int, float] = {}  # process -> when
        self.finalize_lost = set[int]()  # writes acknowledged though a finalize got lost (3.3)
        self.woken = trio.Event()  # set whenever hung ends or the process does

    def lose_finalize(self, write: int, at_s: float) -> None:
        """Acknowledged soon, though a replica was never told."""
        self.finalize_lost.add(write)
        self._lost_by_process.setdefault(self.process, {})[write] = at_s

    def died_with(self, write: int, moment_s: float) -> bool:
        """Whether the process that lost the finalize of this write ended within a moment."""
        return any(
            write in lost and self.ended_s.get(process, math.inf) - lost[write] <= moment_s
            for process, lost in self._lost_by_process.items()
        )

    # -- the process

    def start(self, *, guarded: bool = True) -> None:
        """From the disk. The boot guard makes everybody a REPLICA before Bolt opens (L12)."""
        self.process += 1
        self.is_up, self.is_hung, self.started_at_s = True, False, trio.current_time()
        self.engine, self.is_registering = trio.Lock(), False
        self.storage = Storage(self.disk)
        self.role = self.disk.role
        self.rows = {r.name: Row(r.name, r.address, r.mode) for r in self.disk.rows}
        if guarded and self.role is Role.MAIN:
            self._leave_main()
        self._wake()

    def stop(self, *, gracefully: bool = False) -> None:
        """SIGKILL, or SIGTERM with its snapshot on exit."""
        if not self.is_up:
            return
        if gracefully:
            self.storage.pin()
        self.is_up = False
        self.ended_s[self.process] = trio.current_time()
        self.process += 1
        self._wake()

    def hang(self) -> None:
        """SIGSTOP: the kernel still takes connections."""
        self.is_hung = True

    def go_on(self) -> None:
        """SIGCONT."""
        self.is_hung = False
        self._wake()

    def lose_disk(self) -> None:
        """The volume is gone; an empty one is there at the next start."""
        token = self.disk.reset_token
        self.disk = self.peers.fresh_disk()
        self.disk.reset_token = token

    def _wake(self) -> None:
        self.woken.set()
        self.woken = trio.Event()

    def check(self, process: int) -> None:
        """Raises Died if this is another process by now."""
        if not self.is_up or self.process != process:
            raise Died(self.name)

    async def wait_running(self, process: int) -> None:
        """Until it is not hung. Raises Died."""
        self.check(process)
        while self.is_hung:
            await self.woken.wait()
            self.check(process)

    # -- roles

    def _leave_main(self) -> None:
        self.role, self.rows, self.role_since_s = Role.REPLICA, {}, trio.current_time()
        self.disk.main_uuid = self.peers.uuid("nobody")
        self._save()

    def _save(self) -> None:
        self.disk.role = self.role
        self.disk.rows = [SavedRow(r.name, r.address, r.mode) for r in self.rows.values()]

    def become(self, role: Role) -> None:
        """SET REPLICATION ROLE: a try-lock, and one text for every refusal."""
        busy = self.engine.locked()
        if role is Role.REPLICA:
            if busy or self.role is Role.REPLICA:
                raise Refused(BUSY_REPLICA)
            self._leave_main()
            return
        if busy or self.role is Role.MAIN:
            raise Refused(BUSY_MAIN)
        self.began_epoch = self.peers.uuid("epoch")
        self.storage.begin_epoch(self.began_epoch)
        self.role, self.rows, self.role_since_s = Role.MAIN, {}, trio.current_time()
        self.disk.main_uuid = self.peers.uuid("main")
        self._save()

    @property
    def is_pinned(self) -> bool:
        """Whether a crash would not bring an older epoch back."""
        return self.disk.epoch == self.storage.epoch

    def create_snapshot(self) -> None:
        """The epoch is on the disk afterwards."""
        self.storage.pin()

    # -- rows

    def show_replicas(self) -> list[dict[str, object]]:
        """As Memgraph packs them. Raises Refused on a replica."""
        if self.role is not Role.MAIN:
            raise Refused("Show replicas query should only be run on the main instance.")
        return [self._shown(row) for row in self.rows.values()]

    def _shown(self, row: Row) -> dict[str, object]:
        info: dict[str, object] = {}
        if row.status is not RowStatus.ABSENT:
            behind = row.ts - self.storage.ldt
            info["memgraph"] = {"ts": row.ts, "behind": behind, "status": row.status.value}
        return {
            "name": row.name,
            "socket_address": row.address,
            "sync_mode": row.mode.value,
            "system_info": None,
            "data_info": info,
        }

    def drop(self, name: str) -> None:
        """DROP REPLICA."""
        if self.role is not Role.MAIN:
            raise Refused("Replica can't unregister a replica!")
        if self.engine.locked():
            raise Refused("Failed to unregister replica due to lack of unique access")
        if name not in self.rows:
            raise Refused(f"Failed to unregister the replica {name}.")
        row = self.rows.pop(name)
        self._save()
        self._maybe_crash_by_drop(row)

    def _maybe_crash_by_drop(self, row: Row) -> None:
        """L8: a recovery or check of that row was queued while clients write."""
        now_s = trio.current_time()
        is_young = row.status is RowStatus.INVALID and now_s - row.invalid_since_s < 5.0
        is_written_to = now_s - self.tried_at_s < 0.5
        is_risky = is_written_to and (row.is_recovering or is_young)
        if is_risky and self.peers.dice.random() < 0.3:
            self.peers.note(f"{self.name} crashed by DROP of {row.name}")
            self.peers.crash(self.name, 1.0)

    def add_row(self, name: str, mode: Mode, address: str) -> Row:
        """The first step of REGISTER: known and persisted, whatever comes of it (1.6)."""
        if name in self.rows:
            raise Refused(f"Couldn't register replica {name}. Error: 1")
        if any(row.address == address for row in self.rows.values()):
            raise Refused(f"Couldn't register replica {name}. Error: 2")
        row = Row(name, address, mode, RowStatus.ABSENT)
        self.rows[name] = row
        self._save()
        return row

    def mark_invalid(self, row: Row) -> None:
        """The row blocks its mode's commits until a check finds it well."""
        if row.status is not RowStatus.INVALID:
            row.invalid_since_s = trio.current_time()
        row.status = RowStatus.INVALID

    def node_count(self) -> int:
        """MATCH (n) RETURN count(n)."""
        return len(self.disk.writes - {MARKER})
