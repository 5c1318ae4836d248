"""Where the stand-in is known to differ from a fact: test name, and what differs.

Promise: this is exactly what differs today. A listed test must fail on the stand-in; one that holds
there must leave the table, and one that does not hold must be in it.
"""

KNOWN_DEVIATIONS: dict[str, str] = {
    "test_an_unknown_flag_is_fatal": "accepts unknown flags and names them in its log",
    "test_only_the_transactional_storage_mode_replicates": "does not know STORAGE MODE",
    "test_users_cannot_be_made_on_a_replica": "does not know users made by statement",
}

TRANSCRIPT_DEVIATIONS: dict[str, tuple[str, ...]] = {}
"""Scene of a record, and what the stand-in answers differently in it, in order."""
