"""The rows of the table about instances whose data the main does not accept, and what their resets
set aside: part of `statemachine.rules.RULES`, and nothing else."""

from statemachine import guards as g
from statemachine.rule import ANY, D, O, Rule

REFUSED_RULES: tuple[Rule, ...] = (
    Rule("instance_refused", (O, D), None, (), "its data are not accepted by the main"),
    Rule(
        "reset_ordered",
        (O, D),
        None,
        (
            g.main_answers_as_main,
            g.subject_is_expendable,
            g.reset_is_allowed,
            g.reset_is_due,
            g.no_other_copy_is_on_its_way,
        ),
        "data set aside and rebuilt from the main",
    ),
    Rule(
        "reset_ordered",
        (O, D),
        None,
        (
            g.main_answers_as_main,
            g.subject_is_expendable,
            g.subject_stays,
            g.register_has_ended,
        ),
        "the same, asked for by a person",
    ),
    Rule("reset_cancelled", ANY, None, (), "void in any other term or circumstance"),
    Rule("reset_done", (O, D), None, (g.subject_answers,), "it came back empty"),
    Rule(
        "copy_released",
        (O,),
        None,
        (g.copy_is_old, g.loss_was_looked_at, g.redundancy_is_whole),
        "what was set aside may be removed at the instance's next start",
    ),
)
