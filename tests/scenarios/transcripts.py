"""Reads, plays and rewrites transcripts: `python tests/scenarios/transcripts.py --rewrite`.

A transcript is a text file. Its first lines, with a `#`, name its scenario and say what must be
true. Then come blocks: lines that begin with `given`, `when` or `and` are what happens, and the
indented lines after `then` are what the core decides, with seconds since the first `when`. Only
those are rewritten; commit what you understand. The sentences are in `phrases`.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from attrs import evolve as altered
from attrs import field, frozen
from phrases import PHRASES
from scripted_world import ScriptedWorld, whole_world

from statemachine.ids import Instance
from statemachine.view import Policy

HERE = Path(__file__).parent


@frozen
class Block:
    """What happens, and what was decided then."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = field(factory=tuple)


@frozen
class Transcript:
    """A file."""

    path: Path
    head: tuple[str, ...]
    blocks: tuple[Block, ...]

    @property
    def scenarios(self) -> tuple[int, ...]:
        """The numbers in its head: `# scenario 34` or `# scenarios 34, 36`."""
        found = re.match(r"# scenarios? ([\d, and]+)", self.head[0])
        return tuple(int(n) for n in re.findall(r"\d+", found[1])) if found else ()

    @property
    def about(self) -> str:
        """Its head as one text, as a docstring is."""
        return " ".join(line.removeprefix("# ") for line in self.head)


def read(path: Path) -> Transcript:
    """The transcript of a file.

    Raises:
        ValueError: a line that is none of the kinds.
    """
    head: list[str] = []
    blocks: list[tuple[list[str], list[str]]] = []
    for line in path.read_text().splitlines():
        if line.startswith("#") and not blocks:
            head.append(line)
        elif line.startswith(("given ", "when ")):
            blocks.append(([line], []))
        elif line.startswith("and ") and blocks:
            blocks[-1][0].append(line)
        elif line.startswith("  ") and blocks:
            blocks[-1][1].append(line)
        elif line.strip() not in ("", "then"):
            raise ValueError(f"{path.name}: {line!r} is neither given, when, and, nor a result")
    return Transcript(path, tuple(head), tuple(Block(tuple(i), tuple(o)) for i, o in blocks))


def play(transcript: Transcript) -> Transcript:
    """The same transcript with what is decided now."""
    world = whole_world(3, Policy((Instance("memgraph-0"), Instance("memgraph-1"))))
    blocks = []
    for block in transcript.blocks:
        world.said.clear()
        is_given = block.inputs[0].startswith("given")
        for line in block.inputs:
            _do(world, line.split(" ", 1)[1].rstrip("."))
        if is_given:
            world.zero_s = world.now_s
            world.said.clear()
        blocks.append(Block(block.inputs, tuple(_told(world, is_given))))
    return altered(transcript, blocks=tuple(blocks))


def _told(world: ScriptedWorld, is_given: bool) -> Iterator[str]:
    if is_given:
        return
    yield from (f"  {line}" for line in world.said)
    reasons = list(dict.fromkeys(refusal.reason for refusal in world.refusals))
    yield from (f"          refused: {reason}" for reason in reasons)
    if not world.said and not reasons:
        yield "          nothing"


def _do(world: ScriptedWorld, text: str) -> None:
    for pattern, function in PHRASES:
        if found := pattern.fullmatch(text):
            function(world, *found.groups())
            return
    raise ValueError(f"no sentence like {text!r}; see PHRASES")


def written(transcript: Transcript) -> str:
    """The file's text."""
    parts = ["\n".join(transcript.head)]
    for block in transcript.blocks:
        then = ["then", *block.outputs] if block.outputs else []
        parts.append("\n".join([*block.inputs, *then]))
    return "\n\n".join(parts) + "\n"


def every() -> list[Path]:
    """All transcripts."""
    return sorted(HERE.glob("*.txt"))


def main() -> int:
    """Shows how the files differ from what is decided now, or rewrites them."""
    rewrite, stale = "--rewrite" in sys.argv[1:], 0
    for path in every():
        text = written(play(read(path)))
        if text != path.read_text():
            stale += 1
            sys.stdout.write(f"{path.name} {'rewritten' if rewrite else 'is not current'}\n")
            if rewrite:
                path.write_text(text)
    return 0 if rewrite else int(stale > 0)


if __name__ == "__main__":
    raise SystemExit(main())
