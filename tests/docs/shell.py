"""The commands of a page, run one after another in one shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.packaging import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.docs.pages import Command

_MARK = "--- command {} ---"


def outputs_of(
    commands: Sequence[Command],
    folder: Path,
    env: Mapping[str, str],
    replaced: Mapping[str, str],
) -> list[str]:
    """What each command prints.

    Args:
        commands: The commands; the first one that fails ends the shell.
        folder: Where they run.
        env: All environment variables.
        replaced: What a page shows, and what stands for it on this machine.
    """
    script = "".join(
        f"echo '{_MARK.format(number)}'\n{command.text}\n"
        for number, command in enumerate(commands)
    )
    for shown, meant in replaced.items():
        assert shown in script, f"the page does not show {shown}"
        script = script.replace(shown, meant)
    rest = run("bash", "-e", "-c", script, cwd=folder, env=env)
    found = []
    for number in range(len(commands)):
        rest = rest.partition(f"{_MARK.format(number)}\n")[2]
        found.append(rest.partition(_MARK.format(number + 1))[0])
    return found
