"""Blocking clients, one thread each, that print JSON lines of what happened until input ends."""

import json
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

HUNG_S = 10.0  # an application's patience with one query; a thread that hangs longer is left behind
_printing = threading.Lock()


def say(line: dict[str, Any]) -> None:
    """Print one line at once; threads do not tear each other's lines."""
    with _printing:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def run_until_input_ends(
    runs: Sequence[Callable[[threading.Event], None]],
    on_line: Callable[[str], None] = lambda _line: None,
) -> None:
    """Each in a thread of its own, until told to stop. `on_line`: takes what the input says."""
    stop = threading.Event()
    threads = [threading.Thread(target=run, args=(stop,), daemon=True) for run in runs]
    for thread in threads:
        thread.start()
    for line in sys.stdin:
        on_line(line)
    stop.set()
    for thread in threads:
        thread.join(HUNG_S)
