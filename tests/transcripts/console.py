"""Consoles in documents: every ``$`` line is run by a shell, and what it prints is held against what is written there.

A document's machine is called ada's: ``/home/ada`` and ``/etc/raven-agent`` stand for folders of the test's own.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from agent.cli.client import daemon_of
from agent.settings.home import Home
from support.eventually import eventually, patience
from support.fork_server import shell_command
from transcripts.terminal import run_on_terminal

PORT = "8674"
"""The hub's port in the documents; a free one stands for it."""

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^([a-z]*)\$ ")
_INVITE = re.compile(r"\braven1_[\w-]+")
_PASSING = (
    (_INVITE, "INVITE"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{16}\b|\b[0-9a-f]{12}\b"), "HASH"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d"), "TIME"),
    (re.compile(r"\b\d\d:\d\d\b"), "TIME"),
    (re.compile(r"pid \d+"), "pid N"),
    (re.compile(r"\d+ (ms|s|min)\b( ago)?"), "A WHILE"),
    (re.compile(r"\d+\.\d [KM]iB"), "SIZE"),
    (re.compile(r"[ \t]+"), " "),
)
"""What differs from run to run, and the width of columns that follows from it."""


def comparable(text: str) -> str:
    """``text`` without what differs from run to run."""
    for pattern, word in _PASSING:
        text = pattern.sub(word, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


@dataclass
class Step:
    """One command of a document, and what it is said to print.

    Attributes:
        machine: the word before the prompt; empty where there is one machine.
    """

    command: str
    output: str
    machine: str = ""


def steps(block: str) -> Iterator[Step]:
    """The commands of a console; ``> `` carries one on over the next line."""
    step: Step | None = None
    for line in block.splitlines():
        if prompt := _PROMPT.match(line):
            if step is not None:
                yield step
            step = Step(line[prompt.end() :], "", prompt[1])
        elif line.startswith("> ") and step is not None and not step.output:
            step.command += "\n" + line[2:]
        else:
            assert step is not None, f"a console begins with a command, not with {line!r}"
            step.output += line + "\n"
    if step is not None:
        yield step


@dataclass
class Machine:
    """Ada's machine below one folder; what runs there ends with the block."""

    top: Path
    prefix: tuple[str, ...] = ()
    """Words before each command, which lead into a network of the machine's own."""
    servers: dict[str, str] = field(default_factory=dict)
    """Words in the document, such as addresses, and what is typed for each."""
    acts: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    """Commands in the document that the test carries out itself; they print nothing."""
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _port: str = ""
    _count: int = 0

    def __enter__(self) -> Machine:
        for folder in ("home/ada", "etc/raven-agent/conf.d", "srv", "bin"):
            (self.top / folder).mkdir(parents=True)
        program = self.top / "bin" / "raven-agent"
        # What is forked has the network of the process that it is forked from.
        own = f'#!/bin/sh\nexec "{sys.executable}" -P -m agent "$@"\n'
        program.write_text(own if self.prefix else shell_command())
        program.chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            # A network of its own has every port free.
            self._port = PORT if self.prefix else str(free.getsockname()[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._started):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._started:
            process.wait(patience(15))

    @property
    def home(self) -> Path:
        """The home folder of ada."""
        return self.top / "home" / "ada"

    @property
    def env(self) -> dict[str, str]:
        """The environment of ada's shell."""
        kept = {name: os.environ[name] for name in ("LANG", "PYTHONPATH") if name in os.environ}
        return {
            **kept,
            # The order of names does not depend on the language of the machine that runs the tests.
            "LC_ALL": "C.UTF-8",
            "PATH": f"{self.top / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "RAVEN_AGENT_ETC": str(self.top / "etc/raven-agent"),
            "RAVEN_AGENT_NOTIFICATIONS": "off",
            # A laptop with a desktop can have a service, wherever the tests run.
            "XDG_CURRENT_DESKTOP": "GNOME",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            "COLUMNS": "120",
        }

    def run(self, command: str) -> str:
        """What a command prints, as a document shows it; one that ends with ``&`` is left running."""
        self._settle()
        if command in self.acts:
            self.acts[command]()
            return ""
        real = self._typed(command)
        self._count += 1
        # One each: what still runs goes on writing into its own.
        file = self.top / f"printed-{self._count}"
        with file.open("w") as printed:
            process = subprocess.Popen(
                [*self.prefix, "/bin/sh", "-c", real.removesuffix("&")],
                stdin=subprocess.DEVNULL, stdout=printed, stderr=printed,
                env=self.env, cwd=self.home, start_new_session=True,
            )  # fmt: skip
            if command.endswith("&"):
                self._started.append(process)
                eventually(lambda: file.read_text() or daemon_of(self._agent_home), 30, f"{command} works")
            else:
                process.wait(60)
        return self._shown(file.read_text())

    def run_on_terminal(self, command: str, columns: int) -> str:
        """What a command writes to a terminal of so many columns, control sequences included."""
        self._settle()
        env = {**self.env, "TERM": "xterm-256color", "COLUMNS": str(columns), "PAGER": "cat"}
        return self._shown(run_on_terminal(self._typed(command), env, self.home, columns))

    def _typed(self, command: str) -> str:
        for shown, typed in self.servers.items():
            command = command.replace(shown, typed)
        real = re.sub(r"(?<![\w/.])/(home/ada|etc/raven-agent|srv)\b", lambda m: f"{self.top}/{m[1]}", command)
        return real.replace(PORT, self._port)

    def _shown(self, text: str) -> str:
        text = text.replace(str(self.top), "").replace(self._port, PORT)
        for shown, typed in self.servers.items():
            text = text.replace(typed, shown)
        return text

    def _settle(self) -> None:
        """Wait until the agent has nothing to do: a person types more slowly than it works."""

        def at_rest() -> bool:
            daemon = daemon_of(self._agent_home)
            if daemon is None:
                return True
            status = daemon.call("status", {})
            busy = any(source["state"] == "syncing" for source in status["sources"])
            return not busy and all(row["state"] != "waiting" for row in status["declarations"])

        eventually(at_rest, 30, "the agent is at rest")

    @property
    def _agent_home(self) -> Home:
        state = self.home / ".local/state/raven-agent"
        return Home(state, state, state, state / "agent.sock", pinned=False)


def play(document: str, *machines: Machine) -> str:
    """The document with every console as it comes out on these machines.

    Its prompts call them by their folders' names. An invite in a command stands for the newest one that was printed.
    """
    names = {machine.top.name: machine for machine in machines}
    invites: list[str] = []

    def ran(step: Step) -> str:
        machine = names[step.machine] if step.machine else machines[0]
        printed = machine.run(_INVITE.sub(lambda match: invites[-1] if invites else match[0], step.command))
        invites.extend(_INVITE.findall(printed))
        return printed

    def console(match: re.Match[str]) -> str:
        said = [(step, ran(step)) for step in steps(match[1])]
        shown = "".join(f"{step.machine}$ {step.command.replace(chr(10), chr(10) + '> ')}\n{out}" for step, out in said)
        same = all(comparable(step.output) == comparable(out) for step, out in said)
        return match[0] if same else f"```console\n{shown}```"

    return _BLOCK.sub(console, document)
