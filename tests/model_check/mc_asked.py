"""Traces about late replies, false divergence, resets and requests: F10, F13, F14, F17, F18."""

import mc_mutants as m
from mc_begin import INFORMED
from mc_traces import CUT, DEMOTED
from mc_trial import Trace

REFUSED = (
    *INFORMED,
    "memgraph-0 commits a write, and dies",
    "probes memgraph-0",
    "event main_lost",
    *CUT,
    "lists the pods",
    "event main_fenced",
    "Promote memgraph-1: carried out",
    "probes memgraph-1",
    "event main_promoted",
    "memgraph-0 comes back",
    "probes memgraph-0",
    "lists the pods",
    "Mark through memgraph-1: carried out",
    "event registration_opened",
    "Register memgraph-0 on memgraph-1",
    "probes memgraph-1",
    "event instance_refused",
)
"""Instance 0 holds a write that nobody was told of; its successor does not accept it."""

RENEWED = (
    *DEMOTED,
    "Promote memgraph-0: carried out",
    "probes memgraph-0",
    "event registration_opened",
    "Register memgraph-1 on memgraph-0",
    "probes memgraph-0",
)
"""The restarted replica is registered in the main's new epoch, and has taken no commit in it."""

ASKED: tuple[Trace, ...] = (
    Trace(
        "F10",
        "S6",
        {"mute": 1, "hole": 1, "crash": 1},
        physics={"late_replies": True},
        broken={"forwards_late": True},
        script=(
            *INFORMED,
            "acknowledged, finalize was lost",
            "gateway 1 is cut off",
            "memgraph-0 dies",
        ),
    ),
    Trace(
        "F13",
        "S13",
        {"crash": 1, "asks": 1},
        (m.without_guard("subject_is_of_this_epoch"),),
        physics={"recalls_restarts": True},
        people=("switchover memgraph-1",),
        script=(
            *INFORMED,
            "memgraph-1 dies",
            "memgraph-1 comes back",
            "lists the pods",
            "probes memgraph-1",
            "a person asks: switchover memgraph-1",
            "lists the requests",
        ),
        says="F13",
    ),
    Trace(
        "F14",
        "S3",
        {"crash": 2},
        (m.renewals_need_no_marker,),
        physics={"recalls_restarts": True},
        script=(
            *RENEWED,
            "Mark through memgraph-0: carried out",
            "probes memgraph-1",
            "event main_promoted",
        ),
        script_off=(*RENEWED, "event main_promoted"),
        says="F13",
    ),
    Trace(
        "F17",
        "S12",
        {"crash": 2, "disk": 1, "asks": 1},
        (m.resets_go_on_whatever_the_main_is,),
        resets=True,
        people=("reinit memgraph-0",),
        script=(
            *REFUSED,
            "a person asks: reinit memgraph-0",
            "lists the requests",
            "event reset_ordered",
            "WriteResetToken memgraph-0: carried out",
            "memgraph-1 dies and loses its disk",
            "memgraph-1 comes back",
            "lists the pods",
            "probes memgraph-1",
        ),
    ),
    Trace(
        "F18",
        "S12",
        {"crash": 1, "asks": 2},
        (m.without_guard("no_reset_is_open"),),
        resets=True,
        people=("reinit memgraph-2", "failover memgraph-2"),
        instances=3,
        script=(
            *INFORMED,
            "probes memgraph-2",
            "a person asks: reinit memgraph-2",
            "lists the requests",
            "event reset_ordered",
            "WriteResetToken memgraph-2: carried out",
            "a person asks: failover memgraph-2",
            "lists the requests",
        ),
    ),
)
