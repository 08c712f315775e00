"""The command-line tools of the service managers."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.process.environment import child_environment
from agent.service.errors import ServiceFailed

COMMAND_SECONDS: Final = 240.0
"""Longest wait for a command. Starting a unit waits until it is ready, which takes less."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command.

    Attributes:
        code: exit code; 127 if there is no such command, 124 if it did not end in time.
    """

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class CommandLineTool:
    """A command with the arguments that every call begins with."""

    words: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)

    def ask(self, *words: str) -> CommandResult:
        """Run the command and return its result, whatever its exit code."""
        command = [*self.words, *words]
        try:
            done = subprocess.run(
                command, env=child_environment(self.env), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", check=False, timeout=COMMAND_SECONDS,
            )  # fmt: skip
        except (FileNotFoundError, PermissionError):
            return CommandResult(127, "", f"{command[0]} cannot be found")
        except subprocess.TimeoutExpired:
            return CommandResult(124, "", f"{' '.join(command)} did not answer within {COMMAND_SECONDS:.0f} s")
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def do(self, *words: str, hint: str | None = None) -> str:
        """Run the command and return its output.

        Raises:
            ServiceFailed: its exit code is not 0; the message holds its first line of output.
        """
        said = self.ask(*words)
        if said.code:
            lines = (said.err or said.out).strip().splitlines()
            reason = lines[0] if lines else f"exit code {said.code}"
            raise ServiceFailed(f"{' '.join([*self.words, *words])}: {reason}", hint)
        return said.out
