"""The service managers' own commands, run as anybody would type them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.process.environment import child_environment
from agent.service.errors import ServiceFailed

COMMAND_SECONDS: Final = 240.0
"""Longer than a unit may take to become ready, which is what starting one waits for."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command answered.

    Attributes:
        code: its exit code; 127 when there is no such command.
    """

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class CommandLineTool:
    """A command with the words every call of it begins with."""

    words: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)

    def ask(self, *words: str) -> CommandResult:
        """Run it; whatever it answers is an answer."""
        command = [*self.words, *words]
        try:
            done = subprocess.run(
                command, env=child_environment(self.env), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", check=False, timeout=COMMAND_SECONDS,
            )  # fmt: skip
        except (FileNotFoundError, PermissionError):
            return CommandResult(127, "", f"{command[0]} is not to be found")
        except subprocess.TimeoutExpired:
            return CommandResult(124, "", f"{' '.join(command)} did not answer within {COMMAND_SECONDS:.0f} s")
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def do(self, *words: str, hint: str | None = None) -> str:
        """Run it; its output.

        Raises:
            ServiceFailed: it did not end with 0; the message has its own last words.
        """
        said = self.ask(*words)
        if said.code:
            lines = (said.err or said.out).strip().splitlines()
            reason = lines[0] if lines else f"exit code {said.code}"
            raise ServiceFailed(f"{' '.join([*self.words, *words])}: {reason}", hint)
        return said.out
