"""Where the stand-in is known to differ from a fact: test name, and what differs.

Promise: this is exactly what differs today. A listed test must fail on the stand-in; one that holds
there must leave the table, and one that does not hold must be in it.
"""

KNOWN_DEVIATIONS: dict[str, str] = {
    "test_an_unknown_flag_is_fatal": "accepts unknown flags and names them in its log",
}

TRANSCRIPT_DEVIATIONS: dict[str, tuple[str, ...]] = {}
"""Scene of a record, and what the stand-in answers differently in it, in order."""
