"""The boot guard: statements that run before Bolt opens (MEMGRAPH L12).

Promise: a line that fails is logged and skipped, a missing file is silent; neither stops the start.
"""

from controller.sandbox.memgraph.failures import Failure
from controller.sandbox.memgraph.instance import Instance
from controller.sandbox.memgraph.interpreter import Interpreter


async def run_alone(instance: Instance, text: str) -> None:
    """Run one statement as an auto-commit query, as the init file does.

    Raises:
        Failure: it was refused; nothing of it stays, as far as Memgraph rolls back.
    """
    prepared = await Interpreter(instance).prepare(text, {})
    try:
        await prepared.run()
        await prepared.finish()
    finally:
        prepared.release()


async def run_init_file(instance: Instance) -> None:
    """Run the init file's lines, one statement each; a bad line is logged and skipped."""
    path = instance.flags.path("init_file")
    if path is None or not path.is_file():
        return
    for line in path.read_text().splitlines():
        text = line.strip()
        if not text or text.startswith("//"):
            continue
        try:
            await run_alone(instance, text)
        except Failure as problem:
            instance.log.warning(f"init file: {text}: {problem}")
