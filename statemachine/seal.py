"""The seal of a stored ledger: seq and hash of its last entry, in the object's annotations.

Promise: nothing behind the last entry vouches for it, so the object itself says what was written
last; a hand that edits or cuts the tail rarely thinks of that. What a newcomer gets wrong: a broken
seal is still a witness. It tells of an entry that was written and may have been acted upon, also
to a process that never saw it.
"""

from collections.abc import Mapping

from statemachine.codec import key_of
from statemachine.ids import Seq
from statemachine.ledger import PREFIX, Ledger, digest

SEAL = f"{PREFIX}head"


def sealed(annotations: Mapping[str, str]) -> tuple[Seq, str] | None:
    """Seq and hash of what was written last; None: nobody can tell.

    An earlier version writes `seq` alone and leaves an old seal behind, which then seals nothing;
    so does a person who takes it away.
    """
    number, _, head = annotations.get(SEAL, "").partition(":")
    if not head or not number.isdecimal() or number != annotations.get(f"{PREFIX}seq"):
        return None
    return Seq(int(number)), head


def broken_seal(seq: int, head: str, annotations: Mapping[str, str]) -> str:
    """Why the last entry, by its seq and hash, is not the one that was written last; "" when it is,
    or nobody can tell."""
    seal = sealed(annotations)
    if seal is None or seal == (seq, head):
        return ""
    return (
        f"entry {seal[0]} is not there as it was written; put it back, or accept what stands there "
        f"by taking the annotation {SEAL} away"
    )


def unheld(
    copy: Ledger, held: Ledger, data: Mapping[str, str], annotations: Mapping[str, str]
) -> Seq:
    """Seq of an entry that was written behind `copy`, that no longer stands there, and that is
    not in `held` either; 0 = none.

    Args:
        copy: What this process has verified. A ledger without a line of it is another history, and
            tells nothing of ours.
        held: `copy`, or what this process tried to write behind it.
    """
    seal = sealed(annotations)
    if seal is None or seal[0] <= copy.seq or not copy.data.items() & data.items():
        return Seq(0)
    seq, head = seal
    stands_there = digest(data.get(key_of(seq), "")) == head
    return Seq(0) if stands_there or held.head_at(seq) == head else seq
