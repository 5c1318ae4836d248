"""What a row of the table is."""

from attrs import frozen

from statemachine.guards import Guard
from statemachine.ids import Phase

B, O, F, D = Phase.BOOTSTRAP, Phase.OPERATIONAL, Phase.FAILOVER, Phase.DEGRADED  # noqa: E741
ANY = (B, O, F, D)


@frozen
class Rule:
    """One row. `dest` None: the phase stays."""

    trigger: str
    sources: tuple[Phase, ...]
    dest: Phase | None
    guards: tuple[Guard, ...]
    note: str

    def target(self, source: Phase) -> Phase:
        """Where the row leads from `source`."""
        return self.dest or source
