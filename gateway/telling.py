"""What is told of one client, once it was refused or its session is over."""

from gateway.messages import Over
from gateway.reasons import Ending, Refusal
from gateway.route import Kind
from gateway.session import Session


def told_of(kind: Kind, session: Session, reason: Refusal | Ending, now_s: float) -> Over:
    """Everything but what it sent."""
    to = session.target.upstream if session.target is not None else None
    return Over(
        kind=kind,
        peer=session.peer,
        instance=to.instance if to is not None else "",
        upstream=f"{to.host}:{to.port}" if to is not None else "",
        term=session.term,
        reason=reason.value,
        bytes_up=session.bytes_up,
        bytes_down=session.bytes_down,
        duration_s=now_s - session.arrived_at_s,
    )
