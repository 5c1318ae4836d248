"""A trace told in the glossary's words: who did what, one line for each step."""

from mc_brain import Brain
from mc_normal import NAMES, gen_of
from mc_world import ABSENT, AHEAD, INVALID, MAIN, READY, Label, State

from statemachine import commands as c

STATUS = {READY: "ready", INVALID: "invalid", ABSENT: "{}", AHEAD: "ready, ahead"}

SENTENCES = {
    "quiet": "no faults from here on",
    "elect": "a controller becomes leader; it has seen nothing yet",
    "probe": "the leader probes {0}",
    "pods": "the leader lists the pods",
    "gateways": "the leader lists the gateway Leases",
    "silent": "to the leader, gateway {0}'s Lease has not moved for longer than the barrier",
    "event": "event {0}",
    "command": "{0}: carried out",
    "send": "{0}: sent, the answer takes long",
    "landed": "{0}: arrives now, and answers",
    "answer lost": "{0}: arrives now, its answer is lost",
    "unknown": "{0}: given up, its outcome is unknown",
    "late": "{0}: the late copy lands",
    "promoted": "{0} is MAIN, its epoch is not pinned yet",
    "follow": "gateway {0} folds the ledger's head, cuts what it forbids, and acknowledges",
    "open": "gateway {0} verifies {1} and opens",
    "notice": "gateway {0} notices that {1} is not the verified main any more, and closes",
    "barrier": "the leader has watched the gateways for longer than the barrier",
    "ack": "gateway {0} acknowledges, and has not cut yet",
    "unlist": "the Lease of gateway {0} is deleted",
    "reopen": "gateway {0} dials {1} again without reading the head, and opens",
    "mute": "gateway {0} is cut off from the API server, and closes by itself",
    "unmute": "gateway {0} reaches the API server again",
    "reply": "gateway {0} hands its client the acknowledgement of write {1}",
    "write": "a client writes through gateway {0} on {1}: committed",
    "abort": "a client's write through gateway {0} on {1} is aborted, for a replica is missing",
    "hole": "a client writes through gateway {0} on {1}: acknowledged, finalize was lost",
    "die": "{1} commits a write, and dies before it tells anybody",
    "restart": "{0} comes back",
    "unguarded": "{0} comes back as a writable MAIN, for the boot guard failed",
    "checker": "the checker of {0} looks after its replicas",
    "crash": "{0} dies",
    "leave": "the pod of {0} is deleted; its process runs on until it is stopped",
    "stop": "{0} is stopped",
    "reset": "{0} comes back empty, for its reset token was carried out",
    "disk": "{0} dies and loses its disk",
    "blind": "the leader cannot reach {0} any more",
    "seen": "the leader reaches {0} again",
    "split": "{0} and {1} lose each other",
    "joined": "{0} and {1} find each other again",
    "ask": "a person asks: {0}",
    "requests": "the leader lists the requests of people",
    "close": "the request {0} is removed, for it is answered",
    "depose": "the leader is deposed; what it has sent is still on its way",
}
INSTANCE_AT = {
    **dict.fromkeys(("probe", "promoted", "restart", "unguarded", "checker", "crash"), (0,)),
    **dict.fromkeys(("leave", "stop", "reset"), (0,)),
    **dict.fromkeys(("disk", "blind", "seen"), (0,)),
    **dict.fromkeys(("open", "reopen", "notice", "write", "abort", "hole", "die"), (1,)),
    **dict.fromkeys(("split", "joined"), (0, 1)),
}
COMMANDS = frozenset({"command", "send", "landed", "answer lost", "unknown", "late"})


def told(brain: Brain, label: Label) -> str:
    """One step as a sentence."""
    kind = str(label[0])
    words = list(label[1:])
    if kind in COMMANDS:
        words = [_command(brain.commands.values[int(words[0])])]
    for position in INSTANCE_AT.get(kind, ()):
        words[position] = NAMES[int(words[position])]
    if kind == "event" and int(words[1]) >= 0:
        return f"event {words[0]}: {NAMES[int(words[1])]} is given to clients"
    return SENTENCES[kind].format(*words)


def _command(command: c.Command) -> str:
    match command:
        case c.Register(main=main, replica=replica, name=name, mode=mode):
            return f"Register {replica} on {main} (g{gen_of(name)}, {mode.value})"
        case c.Drop(main=main, name=name):
            return f"Drop {name} on {main}"
        case c.Mark(main=main):
            return f"Mark through {main}"
        case c.ListGateways():
            return "ListGateways"
        case _:
            return f"{type(command).__name__} {getattr(command, 'instance', '')}"


def shown(brain: Brain, state: State) -> str:
    """What is true in a state, in one line."""
    cluster = brain.clusters.values[state.head]
    change = cluster.change
    parts = [f"{cluster.phase.value} main {cluster.main} sync {'+'.join(sorted(cluster.sync))}"]
    if change is not None:
        parts.append(f"candidate {change.candidate}{' fenced' if change.fence else ''}")
    for i, inst in enumerate(state.insts):
        role = "MAIN" if inst.role == MAIN else "REPLICA"
        rows = ", ".join(f"{r.replica}g{r.gen} {STATUS[r.status]}" for r in inst.rows)
        up = "" if inst.up else " down"
        parts.append(f"{i} {role}{up} {list(inst.log)} [{rows}]")
    gates = ", ".join("closed" if g.inst < 0 else f"on {g.inst}" for g in state.gates)
    return "; ".join([*parts, f"gateways {gates}", f"acknowledged {list(state.book)}"])


def story(brain: Brain, trace: list[tuple[Label, State]], with_states: bool = False) -> list[str]:
    """The trace, numbered; with the world after each step when asked for. Gateways stand in an
    order of their own in each state: the same one may be gateway 0 and later gateway 1."""
    lines = []
    for number, (label, state) in enumerate(trace, 1):
        lines.append(f"{number:3}. {told(brain, label)}")
        if with_states:
            lines.append(f"     {shown(brain, state)}")
    return lines
