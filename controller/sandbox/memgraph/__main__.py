"""The process: start in Memgraph's order, serve until SIGTERM, leave within a second.

Exit codes: 0 after SIGTERM or SIGINT; 1 when the flags, the data directory or the Bolt port do not
allow a start; killed by SIGABRT when a persisted replica port cannot be bound (MEMGRAPH L12), when
what is on the disk cannot be read back, and when a full disk does not take a commit.
"""

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator

import trio

from controller.sandbox.memgraph.bolt.server import serve_bolt
from controller.sandbox.memgraph.control import serve_control
from controller.sandbox.memgraph.durability.fatal import abort
from controller.sandbox.memgraph.durability.state import DirectoryBusy, lock_directory
from controller.sandbox.memgraph.durability.storage import CannotRecover
from controller.sandbox.memgraph.flags import Flags, help_text, parse_flags
from controller.sandbox.memgraph.init_file import run_init_file
from controller.sandbox.memgraph.instance import Instance, build_instance
from controller.sandbox.memgraph.logbook import Logbook
from controller.sandbox.memgraph.replication.roles import CannotRecoverReplica

LOCK_POLL_S = 0.05  # between two tries for the data directory


def main() -> None:
    """The console script `memgraph-stand-in`."""
    if any(word == "-h" or word.startswith("--help") for word in sys.argv[1:]):
        print(help_text())
        return
    flags = parse_flags(sys.argv[1:], os.environ)
    try:
        trio.run(_run, flags)
    except* (DirectoryBusy, ValueError, OSError) as problems:
        for problem in problems.exceptions:
            print(f"memgraph stand-in: {problem}", file=sys.stderr)
        sys.exit(1)
    except* (CannotRecover, CannotRecoverReplica) as problems:
        abort(str(problems.exceptions[0]))
    # Freeing a large graph piece by piece would cost more than writing it did.
    os._exit(0)


async def _run(flags: Flags) -> None:
    log = Logbook(flags.path("log_file"))
    try:
        for name in flags.unknown:
            log.warning(f"unknown command line flag '{name}', ignored by the stand-in")
        directory_lock = await _wait_for_directory(flags)
        try:
            gc.disable()  # recovery only adds; looking for garbage in it takes a third of its time
            instance = build_instance(flags, log)
            gc.enable()
            await _serve(instance)
        finally:
            os.close(directory_lock)
    finally:
        log.close()


async def _wait_for_directory(flags: Flags) -> int:
    """The data directory is ours afterwards.

    Raises:
        DirectoryBusy: another process kept it for the whole acquisition timeout.
    """
    directory = flags.path("data_directory")
    assert directory is not None
    deadline = trio.current_time() + flags.number("data_dir_lock_acquisition_timeout_sec")
    while True:
        try:
            return lock_directory(directory)
        except DirectoryBusy:
            if trio.current_time() >= deadline:
                raise
        await trio.sleep(LOCK_POLL_S)


async def _serve(instance: Instance) -> None:
    gc.freeze()
    flags = instance.flags
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        try:
            async with trio.open_nursery() as nursery:
                control = flags.path("stand_in_control")
                if control is not None:
                    await nursery.start(serve_control, control, instance.faults)
                nursery.start_soon(_stop_on_signal, signals, nursery.cancel_scope)
                await instance.roles.start(nursery)
                await run_init_file(instance)
                nursery.start_soon(instance.snapshot_forever)
                nursery.start_soon(instance.triggers.run_after_commits, instance.committer)
                await nursery.start(serve_bolt, instance)
                instance.log.info(f"Bolt is open on port {flags.text('bolt_port')}")
            if flags.is_on("storage_snapshot_on_exit"):
                instance.storage.maybe_create_snapshot()
        finally:
            instance.storage.close()


async def _stop_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
        return


if __name__ == "__main__":
    main()
