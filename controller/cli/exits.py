"""Exit codes, and the one kind of error that the commands raise.

What a newcomer gets wrong: 2 is click's own code for wrong usage, so wrong settings share it.
"""

import click

OK, FAILED, USAGE, NO_ACCESS, NOT_FOUND, NO_ANSWER = range(6)

HELP = """\b
Exit codes:
  0  ok
  1  failed or refused, or the cluster (or its ledger) is not well
  2  wrong usage or settings
  3  no access: the API server says 401 or 403
  4  not found, or unreachable
  5  asked for, but not answered (or not finished) in time"""


class Problem(click.ClickException):
    """Ends the command with a sentence on stderr and one of the codes above."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code: int = exit_code  # type: ignore[misc]  # click declares a class variable
