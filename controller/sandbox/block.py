"""A block of loopback addresses and a directory for one sandbox, so that several run side by side.

Promise: two sandboxes of one machine never share a block: each holds a lock on its block's file for
as long as it lives, and a port in it, for somebody whose files are elsewhere (another user, another
TMPDIR) has the same addresses. Both go with the process. The files go with the sandbox too.
What a newcomer gets wrong: whoever locks a file that is removed meanwhile has locked nothing, so
the holder looks again whether its file still has a name.
"""

import fcntl
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from attrs import frozen

FIRST_OCTET = 64  # 127.64.x: out of the way of what people use on 127.0
BLOCKS_MAX = 2048
API_PORT = 6443  # of the API stand-in
CLAIM_HOST, CLAIM_PORT = 254, 6442  # in each block; nothing listens there, it is only held
TRIES_MAX = 100  # at one lock while others tidy up; each is microseconds
# A directory of this name is emptied and removed, so it must not lead anywhere else; and the path
# of a unix socket within it may have 107 characters.
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")
LOCKS = "blocks"


class NoBlockFree(Exception):
    """Every block is taken: end some sandboxes."""


class BadName(ValueError):
    """No sandbox can be called that; the message says what is possible."""


@frozen
class Block:
    """127.<second>.<third>.0/24 of one sandbox, its name, its directory and its locks' files."""

    network: str
    name: str
    directory: Path
    locks: tuple[Path, ...] = ()

    @property
    def number(self) -> int:
        """Counts the blocks from 0 to BLOCKS_MAX - 1."""
        _, second, third = map(int, self.network.split("."))
        return (second - FIRST_OCTET) * 256 + third

    @property
    def api_address(self) -> str:
        """Where the API stand-in listens."""
        return f"{self.network}.1"


def home() -> Path:
    """Where this user's sandboxes live."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    if not base.is_dir():  # as after `su`: named, and not there
        base = Path(tempfile.gettempdir())
    return base / f"memgraph-controller-sandbox-{os.getuid()}"


@contextmanager
def take_block(name: str = "") -> Iterator[Block]:
    """A free block, held for the time of the context; its directory is empty and goes afterwards.

    Raises NoBlockFree; BadName; FileExistsError when a sandbox of this name runs; PermissionError
    when somebody else's directory is where ours should be.
    """
    root = home()
    if name and (not NAME.fullmatch(name) or name == LOCKS):
        raise BadName(f"{name!r}: a name has 1 to 20 small letters, digits and dashes inside")
    for number in range(BLOCKS_MAX):
        network = f"127.{FIRST_OCTET + number // 256}.{number % 256}"
        with _held(root / LOCKS / str(number)) as lock, _claimed(network) as is_ours:
            if lock is None or not is_ours:
                continue
            chosen = name or f"sandbox-{number}"
            with _named(root, chosen) as other, _fresh(root / chosen) as directory:
                yield Block(network, chosen, directory, (lock, other))
            return
    raise NoBlockFree(f"{BLOCKS_MAX} sandboxes run already")


@contextmanager
def _claimed(network: str) -> Iterator[bool]:
    """Whether this process holds the block's port now, and nobody serves there; it holds it for
    the time of the context."""
    with socket.socket() as claim, socket.socket() as look:
        try:
            claim.bind((f"{network}.{CLAIM_HOST}", CLAIM_PORT))
            look.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the past does not count
            look.bind((f"{network}.1", API_PORT))
            look.close()
        except OSError:
            yield False
        else:
            yield True


@contextmanager
def _held(path: Path) -> Iterator[Path | None]:
    """The file, locked; None when somebody else has it. Afterwards it is gone."""
    lock = _locked(path)
    if lock is None:
        yield None
        return
    with lock:
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
            for directory in (path.parent, path.parent.parent):
                with suppress(OSError):  # not empty: others are there
                    directory.rmdir()


def _locked(path: Path) -> IO[str] | None:
    for _ in range(TRIES_MAX):
        try:
            for directory in (path.parent.parent, path.parent):
                directory.mkdir(exist_ok=True, mode=0o700)
                if directory.stat().st_uid != os.getuid():
                    raise PermissionError(f"{directory} belongs to somebody else")
            lock = path.open("w")
        except FileNotFoundError:
            continue  # the last sandbox before us is tidying up
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        if os.fstat(lock.fileno()).st_nlink:
            return lock
        lock.close()
    raise NoBlockFree(f"{path} cannot be locked: others remove it again and again")


@contextmanager
def _named(root: Path, name: str) -> Iterator[Path]:
    with _held(root / LOCKS / f"name-{name}") as lock:
        if lock is None:
            raise FileExistsError(f"a sandbox called {name!r} runs already")
        yield lock


def forget(locks: Iterable[Path]) -> None:
    """The files of locks whose holder was killed are gone; those that are held stay."""
    for path in locks:
        with _held(path):
            pass


@contextmanager
def _fresh(directory: Path) -> Iterator[Path]:
    remove(directory)  # of one that was killed
    directory.mkdir(mode=0o700)
    try:
        yield directory
    finally:
        remove(directory)


def remove(directory: Path) -> None:
    """The directory is gone, whatever was in it."""
    shutil.rmtree(directory, ignore_errors=True)
