"""The init container that sets data aside."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from controller.sandbox import set_aside as subject


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A volume with data in it."""
    directory = tmp_path / "mg"
    directory.mkdir()
    (directory / "wal").write_text("every write")
    return directory


def test_a_new_token_moves_the_data_and_deletes_nothing(data: Path) -> None:
    """The data are beside the directory afterwards, and the directory is free."""
    kept = subject.set_aside(data, 42)
    assert kept is not None
    assert (kept / "wal").read_text() == "every write"
    assert not data.exists()


@pytest.mark.parametrize("token", [0, 41, 42])
def test_a_token_that_is_not_newer_does_nothing(data: Path, token: int) -> None:
    """What was carried out once is never carried out again, and no token is none (F17, F18)."""
    subject.set_aside(data, 42)
    data.mkdir()
    (data / "wal").write_text("written since")
    assert subject.set_aside(data, token) is None
    assert (data / "wal").read_text() == "written since"


def test_killed_between_move_and_note(data: Path) -> None:
    """The next run notes the token and moves nothing more."""
    data.rename(data.with_name("mg.set-aside-7"))
    assert subject.set_aside(data, 7) is None
    assert (data.parent / subject.NOTE).read_text() == "7"


def test_what_was_set_aside_is_listed(data: Path) -> None:
    """Token, bytes and time of each, oldest first."""
    assert subject.listed(data) == ""
    for token in (9, 42):
        subject.set_aside(data, token)
        data.mkdir()
        (data / "wal").write_text("x" * token)
    lines = [line.split() for line in subject.listed(data).splitlines()]
    assert [line[:3] for line in lines] == [["set-aside", "9", "11"], ["set-aside", "42", "9"]]


def test_only_released_copies_of_earlier_runs_are_removed(data: Path) -> None:
    """As the script of the chart does it (S12)."""
    for token in (9, 42):
        subject.set_aside(data, token)
        data.mkdir()
    subject.remove(data, (9, 77))
    assert [line.split()[1] for line in subject.listed(data).splitlines()] == ["42"]
    subject.remove(data.with_name("never"), (9,))


class Answer(BaseHTTPRequestHandler):
    """A ConfigMap, or what the test wants instead."""

    body: bytes = b"{}"
    code: int = 200

    def do_GET(self) -> None:
        """Answer once."""
        self.send_response(self.code)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    """URL of a ConfigMap on loopback."""
    with HTTPServer(("127.0.0.1", 0), Answer) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()
        thread.join()


def test_reads_the_token_of_its_own_instance(
    server: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the keys of this instance count."""
    tokens = {"data": {"memgraph-0": "9", "memgraph-1": "12", "memgraph-1.released": "7 8"}}
    monkeypatch.setattr(Answer, "body", json.dumps(tokens).encode())
    assert subject.ordered(server, "memgraph-1") == (12, (7, 8))
    words = ["--url", server, "--instance", "memgraph-1", "--data-directory", str(data)]
    assert subject.main(words) == 0
    assert data.with_name("mg.set-aside-12").exists()


@pytest.mark.parametrize(
    ("code", "body", "wanted"), [(404, b"{}", 0), (500, b"", 1), (200, b"?", 1)]
)
def test_no_config_map_is_no_token_but_no_answer_is_an_error(
    server: str, data: Path, monkeypatch: pytest.MonkeyPatch, code: int, body: bytes, wanted: int
) -> None:
    """Without an answer it fails, so that the kubelet tries again; the data stay in place."""
    monkeypatch.setattr(Answer, "code", code)
    monkeypatch.setattr(Answer, "body", body)
    words = ["--url", server, "--instance", "memgraph-1", "--data-directory", str(data)]
    assert subject.main(words) == wanted
    assert data.exists()
