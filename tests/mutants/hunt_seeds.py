"""Simulated seeds, one after the other, until one fails: `hunt_seeds.py COUNT MINUTES [FIRST]`.

Exit code 1 and a line `FAILED seed N: why` when one did; run by `hunting` inside of a copy.
"""

import sys

from simulation.__main__ import be_quiet
from simulation.director import run_plan
from simulation.faults import draw_plan

FIRST = 5000  # nobody has looked at these


def main(count: int, minutes: float, first: int) -> int:
    """0: every seed held."""
    be_quiet()
    for number in range(count):
        verdict = run_plan(draw_plan(first + number, minutes))
        if verdict.failure:
            print(f"FAILED seed {first + number}: {verdict.failure}")
            return 1
    return 0


if __name__ == "__main__":
    asked = sys.argv[1:]
    sys.exit(main(int(asked[0]), float(asked[1]), int(asked[2]) if len(asked) > 2 else FIRST))
