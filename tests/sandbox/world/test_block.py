"""Addresses and directories of sandboxes that run side by side."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import pytest

from controller.sandbox import block as room
from controller.sandbox.block import BadName, NoBlockFree, forget, home, take_block


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not among the sandboxes of this machine."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))


def test_two_at_once_share_nothing() -> None:
    """Each has a network and a directory of its own, and both are free again afterwards."""
    with take_block() as one, take_block() as other:
        assert one.network != other.network
        assert one.directory != other.directory
        assert one.directory.is_dir()
        assert one.api_address == f"{one.network}.1"
    assert not one.directory.exists()
    with take_block() as again:
        assert again.network == one.network


def test_somebody_with_other_files_shares_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another TMPDIR means other locks, and the same addresses."""
    (tmp_path / "elsewhere").mkdir()
    with take_block() as one:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "elsewhere"))
        with take_block() as other:
            assert one.network != other.network


def test_a_block_where_somebody_listens_is_passed_over() -> None:
    """Whoever it is: its addresses are not free."""
    with take_block() as first:
        address = first.api_address
    with socket.create_server((address, room.API_PORT)), take_block() as next_one:
        assert next_one.api_address != address


def test_the_last_one_leaves_no_file(tmp_path: Path) -> None:
    """Directory, locks and the place where they were are gone; while another runs its own stay."""
    with take_block("other") as other:
        with take_block("mine") as mine:
            assert sorted(p.name for p in home().iterdir()) == ["blocks", "mine", "other"]
        assert not any(lock.exists() for lock in mine.locks)
        assert all(lock.exists() for lock in other.locks)
    assert list((tmp_path / "run").iterdir()) == []


def test_files_are_gone_also_when_the_work_fails(tmp_path: Path) -> None:
    """An exception inside is passed on, and nothing stays."""
    with pytest.raises(FileNotFoundError), take_block() as block:
        (block.directory / "deep" / "deeper").mkdir()
    assert list((tmp_path / "run").iterdir()) == []


def test_only_the_user_can_look_inside() -> None:
    """Kubeconfigs with tokens lie there."""
    with take_block() as block:
        for directory in (home(), block.directory):
            assert directory.stat().st_mode & 0o777 == 0o700


def test_a_name_is_taken_once() -> None:
    """The second sandbox of a name is refused and disturbs nothing of the first."""
    with take_block("mine") as one:
        (one.directory / "ledger").write_text("x")
        with pytest.raises(FileExistsError, match="mine"), take_block("mine"):
            pass
        assert (one.directory / "ledger").exists()
        assert all(lock.exists() for lock in one.locks)


@pytest.mark.parametrize(
    "name", ["..", ".", "blocks", "a/b", "/tmp", "-a", "a-", "A", "x" * 21, "a b", "a\n"]
)
def test_a_name_leads_nowhere_else(name: str, tmp_path: Path) -> None:
    """A sandbox empties and removes the directory of its name: no name may be a way out."""
    precious = tmp_path / "run" / "precious"
    precious.write_text("x")
    with pytest.raises(BadName, match="a name has"), take_block(name):
        pass
    assert precious.read_text() == "x"


def test_leftovers_of_a_killed_one_are_cleared() -> None:
    """A directory without a living owner is emptied before it is used."""
    with take_block("mine") as one:
        directory = one.directory
    directory.mkdir(parents=True)
    (directory / "old").write_text("x")
    with take_block("mine") as again:
        assert not (again.directory / "old").exists()


def test_a_killed_holder_frees_its_block() -> None:
    """SIGKILL leaves files, and no lock: the next one gets the same block, and `forget` removes
    what is left, but never what somebody holds."""
    script = (
        "import sys\nfrom controller.sandbox.block import take_block\n"
        "with take_block('mine') as b: print(*b.locks, flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        locks = [Path(word) for word in holder.stdout.readline().split()]
        forget(locks)
        assert all(lock.exists() for lock in locks), "it is held"
        with pytest.raises(FileExistsError), take_block("mine"):
            pass
        holder.send_signal(signal.SIGKILL)
    assert all(lock.exists() for lock in locks)
    with take_block("mine") as block:
        assert block.locks == tuple(locks)
    holder_left = home() / "blocks"
    holder_left.mkdir(parents=True)
    (holder_left / "7").touch()
    forget([holder_left / "7"])
    assert not home().exists()


def test_a_lock_that_was_removed_meanwhile_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who locks a file while its last holder removes it tries again on the new file; otherwise two
    would hold the same block, one of them through a file that nobody else can see."""
    real = fcntl.flock
    raced: list[bool] = []

    def remove_first(lock: IO[str], how: int) -> None:
        if not raced:
            raced.append(True)
            os.unlink(lock.name)
        real(lock, how)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with take_block() as block:
        assert raced
        assert all(lock.exists() for lock in block.locks)


def test_the_end_of_the_blocks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit the message says how many run."""
    monkeypatch.setattr(room, "FIRST_OCTET", 120)  # where nobody else is
    monkeypatch.setattr(room, "BLOCKS_MAX", 1)
    with take_block(), pytest.raises(NoBlockFree, match="1 sandboxes run"), take_block():
        pass


def test_a_runtime_directory_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `su`: the variable names a directory that does not exist; the usual place serves."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    with take_block() as block:
        assert block.directory.parent.parent == tmp_path


def test_a_place_of_somebody_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a shared /tmp anybody may have made our directory first; what lies there is not ours."""
    home().mkdir()
    real = os.getuid()
    path = home()
    monkeypatch.setattr(room, "home", lambda: path)
    monkeypatch.setattr(os, "getuid", lambda: real + 1)
    with pytest.raises(PermissionError, match="somebody else"), take_block():
        pass
