"""The rows of the table that people cause: part of `statemachine.rules.RULES`, and nothing else."""

from statemachine import guards as g
from statemachine.rule import ANY, B, D, F, O, Rule

ASKED_RULES: tuple[Rule, ...] = (
    Rule("request_refused", ANY, None, (), "answered with the reason"),
    Rule("paused", (B, O, D), None, (), "nothing is decided or commanded for a while"),
    Rule("resumed", ANY, None, (), "by a person, or because the pause is over"),
    Rule("observing_changed", (B, O, D), None, (), "decisions are recorded only, or done again"),
    Rule("would_have", ANY, None, (), "observed only: what would have been decided"),
    Rule("cooldown_lifted", ANY, None, (), "a person has looked at the last failover"),
    Rule(
        "failover_forced",
        ANY,
        F,
        (g.subject_answers, g.subject_is_ours_or_first, g.no_reset_is_open, g.subject_stays),
        "a person named the candidate and accepted the loss; the verdict is recorded",
    ),
)
