"""One machine of a drill: a real agent with a temporary home and a linked folder."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.core.errors import RemoteError
from agent.core.model import Mode, Resolution
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.remotes.protocol import Remote, RemoteSource
from agent.runtime import linking
from agent.runtime.agent import Agent
from agent.settings.home import Home
from agent.settings.links import Registry, ServerEntry, SourceEntry
from agent.settings.registry_file import save_registry
from agent.settings.settings import Settings

SOURCE_NAME: Final = "raven-agent drill"
"""Name of the scratch source. Only drills use it."""
ACCOUNT: Final = "drill"
"""Name of the account in the temporary homes."""


class PromiseBroken(Exception):
    """A promise was not kept; the message is the evidence."""


def content_hash(text: str) -> str:
    """Return the sha256 of a text's bytes in lower-case hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def drill_machine(top: Path, account: ServerEntry, token: str, settings: Settings) -> Iterator[DrillMachine]:
    env = {"RAVEN_AGENT_HOME": str(top / "home"), "RAVEN_AGENT_ETC": str(top / "etc"), "RAVEN_TOKEN": token}
    home = Home.from_environment(env)
    home.create()
    save_registry(home.registry_file, Registry((account,)))
    agent = Agent(home, settings, RunMode.ONE_SHOT, env)
    try:
        yield DrillMachine(agent, top / "folder")
    finally:
        agent.close()
        if not home.socket.is_relative_to(top):
            # Below a long temporary folder the socket has a folder of its own, which is empty.
            with contextlib.suppress(OSError):
                home.socket.parent.rmdir()


class DrillMachine:
    """One machine of the drill: an agent with a linked folder."""

    def __init__(self, agent: Agent, folder: Path) -> None:
        self.agent = agent
        self.folder = folder
        self._link: SourceEntry | None = None

    @property
    def remote(self) -> Remote:
        """The adapter, registered."""
        return self.agent.connection(ACCOUNT).remote

    @property
    def connector(self) -> str | None:
        """The id of this machine on the server."""
        return self.agent.connection(ACCOUNT).connector_id

    def link(self, joined: RemoteSource | None) -> str:
        """Link the folder; return the source's id."""
        agent = self.agent
        draft = SourceEntry(
            agent.registry.next_key, ACCOUNT, joined.id if joined else "", SOURCE_NAME, self.folder,
            Mode.BIDIRECTIONAL, ("**/*.md",), (), agent.clock(),
        )  # fmt: skip
        self._link = linking.create_link(agent, draft, joined)
        return self._link.source_id

    def sync(self) -> None:
        """Run one full pass. Raises RemoteError for the problem that ended it."""
        assert self._link is not None
        runner = self.agent.start_source(self._link)
        runner.pass_once().result()
        problem = self.agent.control.call(lambda: runner.engine.trouble)
        if problem is not None:
            raise RemoteError(problem)

    def write(self, path: str, text: str) -> None:
        """Save a file as an editor does."""
        (self.folder / path).write_bytes(text.encode())

    def read(self, path: str) -> str | None:
        """Return a file's text; None if there is no file."""
        file = self.folder / path
        return file.read_bytes().decode() if file.exists() else None

    def trashed(self, text: str) -> bool:
        """Return True if the trash of this machine holds a text."""
        assert self._link is not None
        folder = self.agent.folder(self._link)
        try:
            return any(entry.hash == content_hash(text) for entry in folder.trash.entries())
        finally:
            folder.close()

    def resolve(self, path: str, choice: Resolution) -> None:
        """Resolve the only conflict of a path."""
        assert self._link is not None
        key = self._link.key
        agent, runner = self.agent, self.agent.start_source(self._link)
        found = [c for c in agent.control.call(lambda: agent.index.conflicts.live(key)) if c.path == path]
        if not found:
            raise PromiseBroken(f"{path} has no conflict on the machine that saved it second")
        conflict = found[0]
        # A server that compares before an upload has no copy of the local text: it comes with the decision.
        kept = self.read(path) if choice is Resolution.KEEP_LOCAL else None
        decision = m.Resolve(conflict.id, conflict.generation, choice, None if kept is None else kept.encode())
        (refused,) = agent.control.call(lambda: runner.decide([decision]))
        if refused is not None:
            raise PromiseBroken(f"the resolution was refused: {refused}")
        self.sync()

    def restore(self, path: str, text: str) -> None:
        """Bring a text back to a path, as ``raven-agent restore`` does."""
        assert self._link is not None
        self.agent.start_source(self._link).deliver(m.Restore(path, text.encode()))
        self.sync()
