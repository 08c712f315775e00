"""Machines and servers for the guides: prepared as the first lines of each guide say."""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hub.fixtures import token as hub_token
from support.servers import HubServer
from transcripts.console import Machine, play

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
HUB = "https://hub.example"
"""The hub's address in the guides."""


@dataclass
class Hosts:
    """The machines of one guide, by the words before its prompts.

    Attributes:
        url: the server.
        token: a token for it, in ``~/token`` on each machine.
        words: more words of the document, and what is typed for each.
        acts: commands that the test carries out.
        address: the server's address in the guide.
    """

    top: Path
    url: str
    token: str
    words: dict[str, str] = field(default_factory=dict)
    acts: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    address: str = HUB

    @classmethod
    def of_hub(cls, top: Path, hub: HubServer) -> Hosts:
        """Machines with a workspace of their own on a hub."""
        secret = (hub.running.data / "secret").read_bytes()
        return cls(top, hub.url, hub_token(str(uuid.uuid4()), secret=secret))

    @contextlib.contextmanager
    def machines(self, *names: str) -> Iterator[list[Machine]]:
        """Machines of these names."""
        with contextlib.ExitStack() as stack:
            made = []
            for name in names:
                words = {self.address: self.url, **self.words}
                machine = stack.enter_context(Machine(self.top / name, servers=words, acts=self.acts))
                write_token(machine, self.token)
                made.append(machine)
            yield made


def write_token(machine: Machine, token: str) -> None:
    """Put a token into ``~/token``."""
    file = machine.home / "token"
    file.touch(0o600)
    file.write_text(token)


def login(machine: Machine) -> None:
    """Sign in to the server under the name ``house``."""
    said = machine.run(f"raven-agent login {HUB} --name house --token-file ~/token")
    assert said.startswith("signed in to house"), said


def now() -> str:
    """This moment, as a command takes it."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def sections(document: str, mark: str = "\n## ") -> dict[str, str]:
    """The parts of a document below the headings that ``mark`` begins, by heading."""
    parts = document.split(mark)[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def hold(file: Path, heading: str, *machines: Machine, mark: str = "\n## ") -> None:
    """Play one section of a guide, or all of it for an empty heading, and compare it with what is written.

    With ``WRITE_TRANSCRIPTS=1`` the guide is written anew where it differs.
    """
    document = file.read_text("utf-8")
    part = sections(document, mark)[heading] if heading else document
    played = play(part, *machines)
    if os.environ.get("WRITE_TRANSCRIPTS"):
        file.write_text(document.replace(part, played), "utf-8")
    lines = difflib.unified_diff(part.splitlines(), played.splitlines(), "written", "printed", lineterm="")
    assert not (difference := "\n".join(lines)), difference
