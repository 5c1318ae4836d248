"""How Memgraph ends when it cannot keep its word: a sentence, then SIGABRT (exit -6).

Promise: nothing here returns, leaves a core file, or flushes anything of ours to the disk.
"""

import os
import resource
import signal
import sys
from typing import NoReturn


def abort(sentence: str) -> NoReturn:
    """End the process at once, as a failed assertion does."""
    print(f"memgraph stand-in: {sentence}", file=sys.stderr, flush=True)
    die(signal.SIGABRT)


def die(number: signal.Signals) -> NoReturn:
    """End the process by a signal, whoever handles it otherwise."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(1)  # a blocked signal is the only way to here
