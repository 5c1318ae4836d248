"""Addresses and directories of sandboxes that run side by side."""

from pathlib import Path

import pytest

from controller.sandbox.block import take_block


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not among the sandboxes of this machine."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_two_at_once_share_nothing() -> None:
    """Each has a network and a directory of its own, and both are free again afterwards."""
    with take_block() as one, take_block() as other:
        assert one.network != other.network
        assert one.directory != other.directory
        assert one.directory.is_dir()
    assert not one.directory.exists()
    with take_block() as again:
        assert again.network == one.network


def test_a_name_is_taken_once() -> None:
    """The second sandbox of a name is refused and disturbs nothing of the first."""
    with take_block("mine") as one:
        (one.directory / "ledger").write_text("x")
        with pytest.raises(FileExistsError, match="mine"), take_block("mine"):
            pass
        assert (one.directory / "ledger").exists()


def test_leftovers_of_a_killed_one_are_cleared() -> None:
    """A directory without a living owner is emptied before it is used."""
    with take_block("mine") as one:
        directory = one.directory
    directory.mkdir()
    (directory / "old").write_text("x")
    with take_block("mine") as again:
        assert not (again.directory / "old").exists()
