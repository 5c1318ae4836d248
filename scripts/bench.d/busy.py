"""Computes for 5 ms every 50 ms, as a controller's turns do: what stands beside the other proxies
where ours has its own controller's side. Ends when stdin does."""

import os
import select
import sys
import time

from subject import BEHIND_THE_RELAY, BUSY_EVERY_S, BUSY_S, burn

if __name__ == "__main__":
    os.setpriority(os.PRIO_PROCESS, 0, BEHIND_THE_RELAY)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], BUSY_EVERY_S - BUSY_S)[0]:
        burn(time.monotonic() + BUSY_S)
