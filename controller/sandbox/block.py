"""A block of loopback addresses and a directory for one sandbox, so that several run side by side.

Promise: two sandboxes of one machine never share a block: each holds a lock on its block's file for
as long as it lives, and the lock goes with the process.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from attrs import frozen

FIRST_OCTET = 64  # 127.64.x: out of the way of what people use on 127.0
BLOCKS_MAX = 2048


class NoBlockFree(Exception):
    """Every block is taken: end some sandboxes."""


@frozen
class Block:
    """127.<second>.<third>.0/24 of one sandbox, its name and its directory."""

    network: str
    name: str
    directory: Path

    @property
    def api_address(self) -> str:
        """Where the API stand-in listens."""
        return f"{self.network}.1"


def home() -> Path:
    """Where this user's sandboxes live."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(base) / f"memgraph-controller-sandbox-{os.getuid()}"


@contextmanager
def take_block(name: str = "") -> Iterator[Block]:
    """A free block, held for the time of the context; its directory is empty and goes afterwards.

    Raises NoBlockFree; FileExistsError when a sandbox of this name runs.
    """
    root = home()
    (root / "blocks").mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in range(BLOCKS_MAX):
        with (root / "blocks" / str(number)).open("w") as lock:
            if not _locked(lock):
                continue
            network = f"127.{FIRST_OCTET + number // 256}.{number % 256}"
            chosen = name or f"sandbox-{number}"
            directory = root / chosen
            with _named(root, chosen), _fresh(directory):
                yield Block(network, chosen, directory)
            return
    raise NoBlockFree(f"{BLOCKS_MAX} sandboxes run already")


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _named(root: Path, name: str) -> Iterator[None]:
    with (root / "blocks" / f"name-{name}").open("w") as lock:
        if not _locked(lock):
            raise FileExistsError(f"a sandbox called {name!r} runs already")
        yield


@contextmanager
def _fresh(directory: Path) -> Iterator[None]:
    remove(directory)  # of one that was killed
    directory.mkdir(mode=0o700)
    try:
        yield
    finally:
        remove(directory)


def remove(directory: Path) -> None:
    """The directory is gone, whatever was in it."""
    shutil.rmtree(directory, ignore_errors=True)
