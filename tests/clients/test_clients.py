"""Real drivers of several languages against the stand-in, on loopback.

Promise: each tells the same story: write and read a node, get a FAILURE with its code, roll an
explicit transaction back, commit another, stream a large result in small batches.
What a driver needs is fetched once for all, side by side; then each test waits for its own.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
FETCH_S = 240.0  # a cold cache behind a slow line; it is a few seconds with a warm one
STORY_S = 60.0
START_S = 20.0
POLL_S = 0.05
CODE = "Memgraph.ClientError.MemgraphError.MemgraphError"

pytestmark = [pytest.mark.process, pytest.mark.clients, pytest.mark.timeout(400)]


@attrs.define(eq=False)
class Client:
    """One driver: how it is fetched, and how its program is run, both in a directory of its own.

    Attributes:
        source: the folder here whose files it needs.
        tools: what must be on the machine, and how to get it.
    """

    name: str
    source: str
    tools: dict[str, str]
    fetch: list[str]
    command: list[str]
    directory: Path = Path()
    fetching: subprocess.Popen[str] | None = None

    def missing(self) -> str:
        """What is not on this machine, with the way to get it; empty when all is there."""
        lacking = [f"{tool} ({how})" for tool, how in self.tools.items() if not shutil.which(tool)]
        return f"needs {', '.join(lacking)}" if lacking else ""

    def start_fetching(self, under: Path) -> None:
        """Copy the program, and begin to fetch what it needs."""
        self.directory = under / self.name
        shutil.copytree(HERE / self.source, self.directory)
        if self.fetch:
            self.fetching = subprocess.Popen(
                self.fetch,
                cwd=self.directory,
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )

    def wait_fetched(self) -> None:
        """Everything is there afterwards.

        Raises:
            AssertionError: fetching failed; with its last words.
        """
        if self.fetching is not None:
            output, _ = self.fetching.communicate(timeout=FETCH_S)
            assert self.fetching.returncode == 0, output[-2000:]

    def end(self) -> None:
        if self.fetching is not None and self.fetching.poll() is None:
            self.fetching.kill()
            self.fetching.communicate()

    def tell(self, url: str) -> dict[str, Any]:
        """What the program printed of its story."""
        done = subprocess.run(
            [*self.command, url, self.name],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(self.directory / "lib")},
            timeout=STORY_S,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return dict(json.loads(done.stdout))


def clients() -> list[Client]:
    """All drivers, of the releases that their files pin."""
    npm = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
    maven = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    pip += ["--target", "lib", "-r", "requirements.txt"]
    node = {"node": "install Node.js", "npm": "install Node.js"}
    java = {"java": "install a JDK 17", "mvn": "install Maven"}
    launch = ["java", "-XX:TieredStopAtLevel=1", "-cp", "lib/*", "Client.java"]
    return [
        Client("java", "java", java, maven, launch),
        Client(
            "go", "go", {"go": "install Go 1.21"}, ["go", "build", "-o", "client"], ["./client"]
        ),
        Client("javascript", "javascript", node, npm, ["node", "client.js"]),
        Client("python-5", "python", {}, pip, [sys.executable, "client.py"]),
        Client("python-6", "python", {}, [], [sys.executable, "client.py"]),
        Client("pymgclient", "python", {}, [], [sys.executable, "mg_client.py"]),
    ]


NAMES = [client.name for client in reversed(clients())]  # the slowest to fetch comes last


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Client]]:
    """Every client whose tools are here, its things on their way."""
    under = tmp_path_factory.mktemp("clients")
    present = {client.name: client for client in clients() if not client.missing()}
    try:
        for client in present.values():
            client.start_fetching(under)
        yield present
    finally:
        for client in present.values():
            client.end()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a stand-in listens, on an address of its own."""
    directory = tmp_path_factory.mktemp("stand-in")
    address = f"127.78.{os.getpid() % 250 + 1}.1"
    flags = [f"--bolt-address={address}", f"--data-directory={directory / 'data'}"]
    log = directory / "log"
    command = [sys.executable, "-m", "controller.sandbox.memgraph", *flags, f"--log-file={log}"]
    process = subprocess.Popen(command, cwd=CHECKOUT)
    try:
        deadline_s = time.monotonic() + START_S
        while not log.exists() or "Bolt is open" not in log.read_text():
            assert process.poll() is None, "the stand-in did not start"
            assert time.monotonic() < deadline_s, "the stand-in does not open its port"
            time.sleep(POLL_S)
        yield f"bolt://{address}:7687"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", NAMES)
def test_a_driver_works(name: str, fetched: dict[str, Client], url: str) -> None:
    """MEMGRAPH 5: the driver writes, reads, is refused with Memgraph's code, rolls back, commits,
    and reads ten thousand rows a hundred at a time; those of neo4j agree on Bolt 5.2."""
    client = {client.name: client for client in clients()}[name]
    if client.missing():
        pytest.skip(client.missing())
    client = fetched[name]
    client.wait_fetched()
    told = client.tell(url)
    expected = {"read": name, "labels": ["Client"], "kept": 1, "committed": 2}
    expected |= {"rows": 10_000, "sum": 50_005_000}
    if name == "pymgclient":
        assert told.pop("failure").startswith("Error on line 1 position 1.")
    else:
        expected |= {"created": 1, "code": CODE, "database": "memgraph", "protocol": "5.2"}
        if name.startswith("python"):
            expected["driver"] = name[-1]
    assert told == expected
