"""The shell scripts that run in Memgraph's own image: setting data aside, and the probe."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FILES = Path(__file__).parents[2] / "manifests/chart/memgraph-controller/files"
VERSION_5_2 = b"\x00\x00\x02\x05"


def set_aside(volume: Path, token: str | None, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the init container on a volume, with this token for its instance."""
    tokens = volume / "tokens"
    tokens.mkdir(exist_ok=True)
    (tokens / "memgraph-0").unlink(missing_ok=True)
    if token is not None:
        (tokens / "memgraph-0").write_text(token)
    env = {"PATH": "/usr/bin:/bin", "POD_NAME": "memgraph-0"}
    env |= {"TOKENS": str(tokens), "DATA": str(volume / "data")}
    env |= {"TERMINATION_LOG": str(volume / "said"), **more}
    words = ["bash", str(FILES / "set-aside.sh")]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume with data."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/wal").write_text("every write")
    return tmp_path


def test_a_new_token_moves_the_data_and_deletes_nothing(volume: Path) -> None:
    """The data are beside their directory afterwards (S12)."""
    assert set_aside(volume, "42").returncode == 0
    assert (volume / "data.set-aside-42/wal").read_text() == "every write"
    assert not (volume / "data").exists()
    assert (volume / "last-reset-token").read_text() == "42\n"


@pytest.mark.parametrize("more", [{}, {"VOLUME_ROOT": "yes"}], ids=["beside", "inside"])
def test_what_was_set_aside_is_listed_at_every_start(volume: Path, more: dict[str, str]) -> None:
    """Token, bytes and time of each, oldest first, for the pod's status."""
    assert set_aside(volume, None, **more).returncode == 0
    assert (volume / "said").read_text() == ""
    for token in ("9", "42"):
        (volume / "data").mkdir(exist_ok=True)
        (volume / "data/wal").write_text("every write")
        set_aside(volume, token, **more)
    assert set_aside(volume, "42", **more).returncode == 0
    lines = [line.split() for line in (volume / "said").read_text().splitlines()]
    assert [line[:2] for line in lines] == [["set-aside", "9"], ["set-aside", "42"]]
    assert all(int(size) > 0 and int(at) > 1_700_000_000 for _, _, size, at in lines)


def test_data_in_the_root_of_a_volume_are_moved_within_it(volume: Path) -> None:
    """Where the data directory is the volume itself, what lies in it is set aside inside: nothing
    is deleted, nothing is moved twice, and a run that was killed half-way is finished (S12)."""
    (volume / "data/snapshots").mkdir()
    (volume / "data/.hidden").write_text("too")
    (volume / "data/lost+found").mkdir()
    kept = volume / "data/.set-aside/data.set-aside-42"
    kept.mkdir(parents=True)
    (kept / "settings").write_text("moved by the run that was killed")
    assert set_aside(volume, "42", VOLUME_ROOT="yes").returncode == 0
    assert {p.name for p in kept.iterdir()} == {"wal", "snapshots", ".hidden", "settings"}
    assert {p.name for p in (volume / "data").iterdir()} == {".set-aside", "lost+found"}
    (volume / "data/wal").write_text("written since")
    assert set_aside(volume, "42", VOLUME_ROOT="yes").returncode == 0
    assert (volume / "data/wal").read_text() == "written since"
    assert set_aside(volume, "43", VOLUME_ROOT="yes").returncode == 0
    later = volume / "data/.set-aside/data.set-aside-43"
    assert (later / "wal").read_text() == "written since"
    assert (kept / "wal").read_text() == "every write"


@pytest.mark.parametrize("token", [None, "", "0", "41", "42"])
def test_what_was_carried_out_is_never_carried_out_again(volume: Path, token: str | None) -> None:
    """No token, an old one, and the same one twice do nothing (F17, F18)."""
    set_aside(volume, "42")
    (volume / "data").mkdir()
    (volume / "data/wal").write_text("written since")
    assert set_aside(volume, token).returncode == 0
    assert (volume / "data/wal").read_text() == "written since"


def test_killed_between_move_and_note(volume: Path) -> None:
    """The next run notes the token and moves nothing more."""
    (volume / "data").rename(volume / "data.set-aside-7")
    assert set_aside(volume, "7").returncode == 0
    assert (volume / "last-reset-token").read_text() == "7\n"


@pytest.mark.parametrize("more", [{}, {"VOLUME_ROOT": "yes"}], ids=["beside", "inside"])
def test_only_released_copies_of_earlier_runs_are_removed(
    volume: Path, more: dict[str, str]
) -> None:
    """A copy goes when its token is released, and is not listed any more; every other one stays,
    and so do the data and what the same run sets aside (S12)."""
    for token in ("9", "42"):
        set_aside(volume, token, **more)
        (volume / "data").mkdir(exist_ok=True)
        (volume / "data/wal").write_text("every write")
    released = volume / "tokens/memgraph-0.released"
    released.write_text("9 77 x42 * -1")
    assert set_aside(volume, "77", **more).returncode == 0
    listed = [line.split()[1] for line in (volume / "said").read_text().splitlines()]
    assert listed == ["42", "77"]
    released.write_text("9 77")
    assert set_aside(volume, None, **more).returncode == 0
    listed = [line.split()[1] for line in (volume / "said").read_text().splitlines()]
    assert listed == ["42"]


def test_a_copy_that_cannot_be_removed_keeps_nobody_from_starting(volume: Path) -> None:
    """It is listed on, and tried again at the next start."""
    set_aside(volume, "9")
    (volume / "tokens/memgraph-0.released").write_text("9")
    bin_ = volume / "bin"
    bin_.mkdir()
    (bin_ / "rm").write_text("#!/bin/sh\nexit 1\n")
    (bin_ / "rm").chmod(0o755)
    assert set_aside(volume, "9", PATH=f"{bin_}:/usr/bin:/bin").returncode == 0
    assert (volume / "said").read_text().startswith("set-aside 9 ")


@pytest.mark.parametrize("token", ["12; rm -rf /", "-1", "1 2", "x"])
def test_a_hostile_token_is_no_order(volume: Path, token: str) -> None:
    """It fails, and the data stay."""
    assert set_aside(volume, token).returncode == 1
    assert (volume / "data/wal").exists()


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A port that answers a handshake with these bytes, and then waits for the other to close."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.recv(20)
                client.sendall(answer)
                client.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def probe(port: int) -> int:
    """The probe's exit code."""
    env = {"PATH": "/usr/bin:/bin", "BOLT_PORT": str(port)}
    done = subprocess.run(
        ["bash", str(FILES / "probe.sh")], env=env, capture_output=True, check=False
    )
    return done.returncode


@pytest.mark.parametrize(("answer", "code"), [(VERSION_5_2, 0), (b"\x00\x00\x00\x00", 1)])
def test_the_probe_asks_for_a_bolt_version(answer: bytes, code: int) -> None:
    """An accepted version is ready; a refusal and a silence are not."""
    with answering(answer) as port:
        assert probe(port) == code


def test_the_probe_fails_where_nobody_listens() -> None:
    """A refused connection is not ready."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert probe(closed.getsockname()[1]) == 1
