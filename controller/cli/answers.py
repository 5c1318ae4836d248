"""What the ledger says of a request by now: pure.

Promise: an answer is told from entries alone. A change of main is followed until the new main
serves, a rebuilt instance until it holds every write again, or serves readers where it can do no
more than that. What a newcomer gets wrong: granted is not done; what was granted may be overtaken
by a change of main, and goes on in another term.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Any

from attrs import frozen

from controller.cli.exits import FAILED, NO_ANSWER, OK
from statemachine.observations import Request

CHANGES_OF_MAIN = frozenset({"switchover", "failover"})
FOLLOWED = CHANGES_OF_MAIN | {"reinit"}
Entry = dict[str, Any]


class Verdict(Enum):
    """What became of a request."""

    SENT = "sent"  # and not waited for
    UNANSWERED = "unanswered"
    REFUSED = "refused"
    GRANTED = "granted"  # and under way
    FAILED = "failed"  # it was granted, and did not come about
    DONE = "done"


EXITS = {
    Verdict.SENT: OK,
    Verdict.UNANSWERED: NO_ANSWER,
    Verdict.REFUSED: FAILED,
    Verdict.GRANTED: NO_ANSWER,
    Verdict.FAILED: FAILED,
    Verdict.DONE: OK,
}


@frozen
class Answer:
    """What the ledger says of a request. `seq`: of the entry that answers; 0 = none."""

    verdict: Verdict
    why: str
    seq: int = 0
    entries: tuple[Entry, ...] = ()  # from the answer to what ended it


def answer_in(entries: Iterable[Entry], request: Request, *, is_eligible: bool = False) -> Answer:
    """What the ledger says of the request by now. `is_eligible`: the instance that it names may be
    main, so it is whole again only as a member of the sync set."""
    chain: list[Entry] = []
    for entry in entries:
        if chain or entry["data"].get("request") == request.id:
            chain.append(entry)
            if (verdict := _verdict(chain, request, is_eligible)) is not Verdict.GRANTED:
                return Answer(verdict, _why(chain, verdict, request), chain[0]["seq"], tuple(chain))
    if not chain:
        return Answer(Verdict.UNANSWERED, "no controller has answered")
    why = _why(chain, Verdict.GRANTED, request)
    return Answer(Verdict.GRANTED, why, chain[0]["seq"], tuple(chain))


def _verdict(chain: list[Entry], request: Request, is_eligible: bool) -> Verdict:
    granted, entry = chain[0], chain[-1]
    if entry["on"] == "request_refused" and entry is granted:
        return Verdict.REFUSED
    if request.kind not in FOLLOWED:
        return Verdict.DONE
    if request.kind == "reinit":
        return _of_reset(chain, request.instance, is_eligible)
    if entry["from"] != "FAILOVER" or entry["to"] == "FAILOVER":
        return Verdict.GRANTED
    became = entry["main"] if entry["on"] == "main_promoted" else None
    return Verdict.DONE if became == granted["data"].get("candidate") else Verdict.FAILED


def _of_reset(chain: list[Entry], instance: str, is_eligible: bool) -> Verdict:
    """Whole again counts only after the instance came back empty; refused once more is the end."""
    about = [e["on"] for e in chain if e["data"].get("instance") == instance]
    if "reset_done" not in about:
        return Verdict.GRANTED
    if "instance_refused" in about[about.index("reset_done") :]:
        return Verdict.FAILED
    whole = chain[-1]["sync" if is_eligible else "readers"]
    return Verdict.DONE if instance in whole else Verdict.GRANTED


def _why(chain: list[Entry], verdict: Verdict, request: Request) -> str:
    first, last = chain[0], chain[-1]
    if request.kind == "reinit" and verdict is not Verdict.REFUSED:
        return _why_of_reset(chain, verdict, request.instance)
    match verdict:
        case Verdict.REFUSED:
            return str(first["data"].get("reason") or first["why"])
        case Verdict.FAILED:
            return f"{last['on']}: {last['why']}; the main is {last['main'] or 'nobody'}"
        case Verdict.GRANTED:
            return str(last["why"])
        case _ if len(chain) > 1:
            return f"{last['main']} is the main; {first['why']}"
        case _:
            return str(first["why"])


def _why_of_reset(chain: list[Entry], verdict: Verdict, instance: str) -> str:
    if verdict is Verdict.DONE:
        holds = "holds every write again" if instance in chain[-1]["sync"] else "serves readers"
        return f"{instance} was rebuilt and {holds}; {chain[0]['why']}"
    last = [e for e in chain if e["data"].get("instance") == instance][-1]
    return f"{last['on']}: {last['why']}"
