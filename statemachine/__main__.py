"""`python -m statemachine DIRECTORY`: writes the diagrams and the table that the docs show."""

import sys
from pathlib import Path

from statemachine.diagram import dot, page

USAGE = "usage: python -m statemachine DIRECTORY   writes state-machine.md and state-machine.dot"


def main(words: list[str]) -> int:
    """Exit code 0, or 2 for wrong usage."""
    if len(words) != 1 or words[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    directory = Path(words[0])
    (directory / "state-machine.md").write_text(page())
    (directory / "state-machine.dot").write_text(dot())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
