"""The relay of this checkout beside HAProxy, a Go proxy and its own design in C, in interleaved
rounds.

Every proxy runs on one core, the servers and the load on another; all sockets are on 127.0.0.1.
Prints goals and medians with their spread (least to most) over the rounds. CPU is of all the
proxy's processes, ours with the controller's side of the worker; it is what a machine that is
shared with others blurs least. A measure that fails is tried once more, then named and left out.
"""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import page
from figures import NAMES, Rows, document, goal_rows, spread, values
from loads import DESCRIPTORS_OF_GO, Field, Load, Measure, build, set_up
from peers import GO, Peer, Yard, find_peers, use_packages

TELL_PYTHON = "import platform; print(platform.python_version())"
BETWEEN_S = 0.05  # sockets that are closing are not the next one's load


class Book:
    """What was found so far: one value a round, None where there is none."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self.failed: dict[str, None] = {}

    def note(self, number: int, who: str, what: str, value: float) -> None:
        """Of that round."""
        by = self.rows.setdefault(what, {}).setdefault(who, [])
        by.extend([None] * (number - len(by)))
        by.append(value)

    def measure(self, number: int, name: str, measure: Measure, peer: Peer) -> None:
        """Take it, at the second try if need be."""
        for attempt in (1, 2):
            try:
                found = measure(peer)
            except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
                print(f"{name} of {peer.name}, attempt {attempt}: {error}", file=sys.stderr)
            else:
                for what, value in found.items():
                    self.note(number, peer.name, what, value)
                return
        self.failed[f"{name} of {peer.name}, round {number + 1}"] = None


def one_round(number: int, field: Field, book: Book, only: str) -> None:
    """One measure after the other, each over all who are compared."""
    for name, (measure, peers) in field.measures.items():
        if only and not re.fullmatch(only, name):
            continue
        first = number % len(peers)
        for peer in peers[first:] + peers[:first]:
            book.measure(number, name, measure, peer)
            time.sleep(BETWEEN_S)


def all_rounds(field: Field, load: Load, given: argparse.Namespace) -> tuple[Book, list[float]]:
    """As many as asked for, while the time allows; and the load average as each began."""
    book, averages = Book(), []
    began_s, longest_s = time.monotonic(), 0.0
    for number in range(given.rounds):
        at_s = time.monotonic()
        if number and at_s - began_s + longest_s > given.minutes * 60:
            print(f"the time allows {number} rounds of {given.rounds}")
            break
        averages.append(round(os.getloadavg()[0], 2))
        load.half_per_s = 0.0
        one_round(number, field, book, given.only)
        longest_s = max(longest_s, time.monotonic() - at_s)
        print(f"round {number + 1} took {time.monotonic() - at_s:.0f} s", flush=True)
    return book, averages


def want_descriptors() -> int:
    """As many as every proxy needs, where we may raise the limit; how many a child may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (65536, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
            break
        except (OSError, ValueError):
            continue
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed < DESCRIPTORS_OF_GO:
        print(f"only {allowed} descriptors: {GO} is left out at 5000 sessions")
    return allowed


def machine_of(averages: list[float], python: str) -> dict[str, Any]:
    """On what it was measured, without its name."""

    def version(pattern: str, *words: str) -> str:
        try:
            said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return "(missing)"
        found = re.search(pattern, said)
        return found[1] if found else "?"

    return {
        "HAProxy": version(r"(\d+\.\d+\.\d+)", "haproxy", "-v"),
        "Go": version(r"go(\d+\.\d+)", "go", "version"),
        "Python": version(r"(.+)", python, "-c", TELL_PYTHON),
        "Linux": ".".join(platform.release().split(".")[:2]),
        "cores": len(os.sched_getaffinity(0)),
        "load": averages,
    }


def show(rows: Rows) -> None:
    """To the terminal."""
    names = [name for name in NAMES if any(name in by for by in rows.values())]
    print(f"{'':44}" + "".join(f"{name:>26}" for name in names))
    for what in rows:
        cells = [spread(values(rows, what, name)) for name in names]
        print(f"{what:44}" + "".join(f"{cell:>26}" for cell in cells))
    print()
    for goal, bound, found, in_c, is_met in goal_rows(rows):
        print(f"{goal:48}{bound:>10}{found:>28}{in_c:>28}   {is_met}")


def arguments() -> argparse.Namespace:
    """The words of the command."""
    words = argparse.ArgumentParser(prog="./scripts/bench gateway", description=__doc__)
    words.add_argument("--json", type=Path, help="write every round there, too")
    words.add_argument("--docs", action="store_true", help="write docs/performance.md and charts")
    words.add_argument("--from-json", type=Path, help="measure nothing, take these figures")
    words.add_argument("--quick", action="store_true", help="two short rounds")
    words.add_argument("--rounds", type=int, default=0, help="7, or fewer when time is over")
    words.add_argument(
        "--minutes", type=float, default=13.0, help="no round begins that would end later"
    )
    words.add_argument("--workers", type=int, default=1, help="GATEWAY_WORKERS of ours")
    words.add_argument("--python", default="", help="what ours runs on, if not this one")
    words.add_argument("--only", default="", help="measures, a pattern: ping128|churn")
    given = words.parse_args()
    given.rounds = given.rounds or (2 if given.quick else 7)
    return given


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Measure; returns the document."""
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two cores are needed: one for the proxy, one for the load")
    if not shutil.which("cc"):
        raise SystemExit("a C compiler is needed: the load, and the peer in C, are built with cc")
    use_packages()
    for what in find_peers():
        print(f"missing: {what}; its columns are left out")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        where = Path(name)
        try:
            tls = build(where, "-DTLS", "-lssl", "-lcrypto")
        except subprocess.CalledProcessError:
            print("missing: OpenSSL's headers; TLS is not measured")
            tls = None
        seconds, size = (0.4, 1 << 28) if given.quick else (1.0, 1 << 30)
        load = Load(build(where), tls, seconds, size, want_descriptors())
        field = set_up(stack, load, Yard(stack, where, given.workers, given.python))
        book, averages = all_rounds(field, load, given)
    return document(
        machine_of(averages, given.python or sys.executable),
        len(averages),
        book.rows,
        list(book.failed),
    )


def main() -> None:
    """See the head of this file."""
    given = arguments()
    found = json.loads(given.from_json.read_text()) if given.from_json else run(given)
    show(found["figures"])
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    if given.docs:
        page.write(found)


if __name__ == "__main__":
    main()
