"""The suite's own ways to a server: chosen by MEMGRAPH_BINARY, started alike.

The binary in these tests is a script around our stand-in; nothing here is a real Memgraph.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from server_kinds import CHECKOUT, flags_of, real_kind

pytestmark = pytest.mark.process

HELP = """You are running something
<?xml version="1.0"?>
<AllFlags><program>memgraph</program><flag><name>bolt_port</name></flag>
<flag><name>log-level</name></flag></AllFlags>
"""
SUITE = Path(__file__).parent
LIMIT_S = 60


def script(tmp_path: Path, body: str) -> Path:
    """A program with this body."""
    path = tmp_path / "memgraph"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o700)
    return path


def outcome(binary: str, *words: str) -> str:
    """The last line of a run of part of this suite."""
    env = {**os.environ, "MEMGRAPH_BINARY": binary}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(
        command, cwd=CHECKOUT, env=env, capture_output=True, timeout=LIMIT_S, check=False
    )
    return re.sub(r" in .*", "", done.stdout.decode().splitlines()[-1])


def test_real_servers_are_asked_only_when_there_is_a_binary(tmp_path: Path) -> None:
    """Without MEMGRAPH_BINARY the tests of a real server are deselected, none is skipped; with it
    they run on that program."""
    one = str(SUITE / "test_contract_roles.py::test_a_fresh_instance_is_a_writable_main")
    run = f"exec {sys.executable} -m controller.sandbox.memgraph"
    binary = script(tmp_path, f'export PYTHONPATH={CHECKOUT}\n{run} "$@"')
    assert outcome("", one, "--collect-only") == "1/2 tests collected (1 deselected)"
    assert outcome(str(binary), one, "-m", "real_memgraph") == "1 passed, 1 deselected"


def test_flags_are_read_from_the_help(tmp_path: Path) -> None:
    """Names are found after other output, in either spelling; a program without such a help is
    taken to know every flag."""
    telling = script(tmp_path, f"cat <<'END'\n{HELP}END\nexit 1")
    assert flags_of(telling) == {"bolt_port", "log_level"}
    assert not real_kind(str(telling)).knows("metrics-address")
    assert real_kind(str(telling)).knows("log-level")
    silent = tmp_path / "other"
    silent.mkdir()
    assert real_kind(str(script(silent, "exit 1"))).knows("anything")


def test_a_path_that_is_no_program_is_an_error(tmp_path: Path) -> None:
    """A wrong MEMGRAPH_BINARY fails; it does not run the stand-in in its place."""
    with pytest.raises(AssertionError, match="no program"):
        real_kind(str(tmp_path / "nothing"))
