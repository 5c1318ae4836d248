"""One stand-in: everything that lives as long as the process, in one place.

Promise: the parts are built in the order of a real start: directory, storage, role, init file,
and only then Bolt.
"""

import os
import ssl

import attrs
import trio

from controller.sandbox.memgraph.activity import Activity
from controller.sandbox.memgraph.durability.state import StateFile
from controller.sandbox.memgraph.durability.storage import Storage, StorageOptions
from controller.sandbox.memgraph.failures import Failure
from controller.sandbox.memgraph.faults import Dialer, Faults
from controller.sandbox.memgraph.flags import Flags
from controller.sandbox.memgraph.graph.transaction import Transaction
from controller.sandbox.memgraph.logbook import Logbook
from controller.sandbox.memgraph.replication.commit import Committer
from controller.sandbox.memgraph.replication.locks import SystemTurn
from controller.sandbox.memgraph.replication.options import RoleOptions
from controller.sandbox.memgraph.replication.roles import RoleKeeper
from controller.sandbox.memgraph.triggers import Triggers
from controller.sandbox.memgraph.users import Users, user_of_environment


@attrs.frozen(eq=False)
class Instance:
    """The parts, wired."""

    flags: Flags
    log: Logbook
    faults: Faults
    storage: Storage
    roles: RoleKeeper
    committer: Committer
    system_turn: SystemTurn
    activity: Activity
    triggers: Triggers
    users: Users
    tls: ssl.SSLContext | None  # Bolt speaks TLS and nothing else, when there is one

    async def commit(self, transaction: Transaction, *, explicit: bool) -> None:
        """Commit with the triggers of the transaction; see `Committer.commit`.

        Raises:
            Failure: a BEFORE COMMIT trigger or the commit failed.
        """
        changes = transaction.changes
        if changes:
            try:
                self.triggers.before_commit(transaction)
            except Failure:
                transaction.close()
                raise
        await self.committer.commit(transaction, explicit=explicit)
        if changes:
            self.triggers.after_commit(changes)

    async def create_snapshot(self) -> str:
        """Write a storage snapshot; it takes a timestamp as any transaction. Returns its path."""
        transaction = await self.committer.begin()
        try:
            return str(self.storage.create_snapshot())
        finally:
            transaction.close()

    async def snapshot_forever(self) -> None:
        """A storage snapshot each interval in which something was committed."""
        interval_s = self.flags.number("storage_snapshot_interval_sec")
        written = self.storage.ldt
        while interval_s > 0:
            await trio.sleep(interval_s)
            if self.storage.ldt != written:
                written = self.storage.ldt
                await self.create_snapshot()


def build_instance(flags: Flags, log: Logbook) -> Instance:
    """Recover the storage and wire the parts; blocks for as long as reading the disk takes.

    Raises:
        ValueError: flags that do not go together. OSError: no certificate or key to be read.
        CannotRecover: what is on the disk cannot be read back.
    """
    tls = _tls(flags)
    faults = Faults()
    storage = _storage(flags, faults)
    faults.lose_power = storage.lose_power
    directory = storage.options.directory
    address = flags.text("bolt_address")
    roles = RoleKeeper(
        RoleOptions(
            address=address,
            check_frequency_s=flags.number("replication_replica_check_frequency_sec"),
            oldest_match=flags.is_on("stand_in_false_divergence"),
            promotion_delay_s=flags.number("stand_in_promotion_delay_ms") / 1000,
            guards_promotion=flags.release >= (3, 9),
            access_timeout_s=flags.number("storage_access_timeout_sec"),
            is_managed=flags.number("management_port") != 0,
        ),
        storage,
        StateFile(
            directory,
            flags.is_on("replication_restore_state_on_startup"),
            lambda: faults.disk_full,
        ),
        Dialer(faults, address, flags.path("stand_in_hosts")),
        log,
    )
    return Instance(
        flags=flags,
        log=log,
        faults=faults,
        storage=storage,
        roles=roles,
        committer=Committer(storage, roles, faults, flags.release),
        system_turn=SystemTurn(),
        activity=Activity(),
        triggers=Triggers(directory, log),
        users=Users(directory, user_of_environment(os.environ)),
        tls=tls,
    )


def _storage(flags: Flags, faults: Faults) -> Storage:
    directory = flags.path("data_directory")
    assert directory is not None
    log_enabled = flags.is_on("storage_wal_enabled")
    if log_enabled and flags.number("storage_snapshot_interval_sec") <= 0:
        raise ValueError(
            "In order to use write-ahead-logging you must enable periodic snapshots by setting the "
            "snapshot interval to a value larger than 0!"
        )
    options = StorageOptions(
        directory=directory,
        flush_every_n_tx=flags.number("storage_wal_file_flush_every_n_tx"),
        snapshot_retention=flags.number("storage_snapshot_retention_count"),
        recover=flags.is_on("data_recovery_on_startup"),
        log_enabled=log_enabled,
    )
    return Storage(options, lambda: faults.disk_full)


def _tls(flags: Flags) -> ssl.SSLContext | None:
    """TLS for Bolt when both files are given; one alone does nothing, as with Memgraph."""
    certificate, key = flags.path("bolt_cert_file"), flags.path("bolt_key_file")
    if certificate is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
