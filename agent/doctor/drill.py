"""Try every promise about a person's texts on a scratch source of one server, with two machines and the real engine.

The two machines are agents with temporary homes and folders. At the end all folders, homes, files and conflicts are
removed. The empty source stays, as the protocol cannot delete one, and the next drill uses it again.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.core.errors import AgentError, ProblemKind, RemoteError
from agent.core.model import Mode, Operation, RemoteConflict, Resolution, Result, Verb
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.remotes.protocol import Outgoing, Remote, RemoteSource
from agent.runtime import linking
from agent.runtime.agent import Agent
from agent.settings.home import Home
from agent.settings.links import Registry, ServerEntry, SourceEntry
from agent.settings.registry_file import save_registry
from agent.settings.settings import Settings

SOURCE_NAME: Final = "raven-agent drill"
"""Name of the scratch source. Only drills use it."""
_ACCOUNT: Final = "drill"
_ODD_TEXTS: Final = ("", "no line end", "two\r\nline ends\r\n", "ümläut \u2028 and 漢字\n", '"quotes" \\ and\ttabs\n')


class Keeper(enum.StrEnum):
    """The side that keeps a promise."""

    SERVER = "server"
    AGENT = "agent"
    NOBODY = "nobody"


class DrillRow(Struct, frozen=True):
    """The result for one promise.

    Attributes:
        promise: a sentence about texts.
        kept_by: SERVER if the server keeps it by itself, for every client; AGENT if it holds through the agent only.
        detail: the evidence, or the reason why the promise was not kept.
    """

    promise: str
    kept_by: Keeper
    detail: str

    @property
    def ok(self) -> bool:
        """True if the promise was kept."""
        return self.kept_by is not Keeper.NOBODY


class DrillReport(Struct, frozen=True):
    """All rows of a drill, and what could not be removed afterwards (empty for nothing)."""

    server: str
    rows: tuple[DrillRow, ...]
    left_behind: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True if every promise was kept and everything was removed."""
        return all(row.ok for row in self.rows) and not self.left_behind


class _NotKept(Exception):
    """A promise that was not kept; its message is the evidence."""


def run_drill(entry: ServerEntry, token: str, settings: Settings) -> DrillReport:
    """Run the drill on the server of an account.

    Args:
        entry: the account. Its connector is not used: each machine of the drill registers its own.

    Raises:
        AgentError: the server cannot be reached, refuses the account, or cannot create the scratch source.
    """
    top = Path(tempfile.mkdtemp(prefix="raven-agent-drill-"))
    account = replace(entry, name=_ACCOUNT, connector_id=None, machine_id=None, declared_in=None, token_file="")
    # A person's own settings must not stop a drill: its brake and its waits are the defaults.
    plain = Settings(ca_file=settings.ca_file, credentials="file", server_url=entry.url, workspace=entry.workspace)
    try:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(_machine(top / "first", account, token, plain))
            second = stack.enter_context(_machine(top / "second", account, token, plain))
            return _Drill(entry.name, first, second).run()
    finally:
        shutil.rmtree(top, ignore_errors=True)


@contextlib.contextmanager
def _machine(top: Path, account: ServerEntry, token: str, settings: Settings) -> Iterator[_Machine]:
    env = {"RAVEN_AGENT_HOME": str(top / "home"), "RAVEN_AGENT_ETC": str(top / "etc"), "RAVEN_TOKEN": token}
    home = Home.from_environment(env)
    home.create()
    save_registry(home.registry_file, Registry((account,)))
    agent = Agent(home, settings, RunMode.ONE_SHOT, env)
    try:
        yield _Machine(agent, top / "folder")
    finally:
        agent.close()
        if not home.socket.is_relative_to(top):
            # Below a long temporary folder the socket has a folder of its own, which is empty.
            with contextlib.suppress(OSError):
                home.socket.parent.rmdir()


class _Machine:
    """One machine of the drill: an agent with a linked folder."""

    def __init__(self, agent: Agent, folder: Path) -> None:
        self.agent = agent
        self.folder = folder
        self._link: SourceEntry | None = None

    @property
    def remote(self) -> Remote:
        """The adapter, registered."""
        return self.agent.connection(_ACCOUNT).remote

    @property
    def connector(self) -> str | None:
        """The id of this machine on the server."""
        return self.agent.connection(_ACCOUNT).connector_id

    def link(self, joined: RemoteSource | None) -> str:
        """Link the folder; return the source's id."""
        agent = self.agent
        draft = SourceEntry(
            agent.registry.next_key, _ACCOUNT, joined.id if joined else "", SOURCE_NAME, self.folder,
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
            return any(entry.hash == _sha(text) for entry in folder.trash.entries())
        finally:
            folder.close()

    def resolve(self, path: str, choice: Resolution) -> None:
        """Resolve the only conflict of a path."""
        assert self._link is not None
        key = self._link.key
        agent, runner = self.agent, self.agent.start_source(self._link)
        found = [c for c in agent.control.call(lambda: agent.index.conflicts.live(key)) if c.path == path]
        if not found:
            raise _NotKept(f"{path} has no conflict on the machine that saved it second")
        conflict = found[0]
        decision = m.Resolve(conflict.id, conflict.generation, choice)
        (refused,) = agent.control.call(lambda: runner.decide([decision]))
        if refused is not None:
            raise _NotKept(f"the resolution was refused: {refused}")
        self.sync()

    def restore(self, path: str, text: str) -> None:
        """Bring a text back to a path, as ``raven-agent restore`` does."""
        assert self._link is not None
        self.agent.start_source(self._link).deliver(m.Restore(path, text.encode()))
        self.sync()


class _Drill:
    """The steps of one drill, in order. Each step uses files of its own."""

    def __init__(self, server: str, first: _Machine, second: _Machine) -> None:
        self._server = server
        self._first = first
        self._second = second
        self._source = ""

    def run(self) -> DrillReport:
        """Link both machines, try every promise, and remove the files. Raises AgentError if linking fails."""
        known = [s for s in self._first.remote.sources() if s.name == SOURCE_NAME and s.mode is Mode.BIDIRECTIONAL]
        self._source = known[0].id if known else self._first.link(None)
        # Files of a drill that was cut short must not take part in this one.
        self._remove_files()
        joined = next(s for s in self._first.remote.sources() if s.id == self._source)
        if known:
            self._first.link(joined)
        self._second.link(joined)
        rows: list[DrillRow] = []
        try:
            rows += [self._tried(promise, step) for promise, step in self._steps()]
            rows += self._stated()
        finally:
            left = self._remove_files()
        return DrillReport(self._server, tuple(rows), left)

    def _steps(self) -> tuple[tuple[str, Callable[[], tuple[Keeper, str]]], ...]:
        return (
            ("a new file reaches the other machine", self._new_file),
            ("any text arrives byte for byte", self._odd_texts),
            ("a version that an edit replaced stays restorable", self._replaced_version),
            ("an operation that is sent twice is applied once", self._sent_twice),
            ("an edit of an outdated version replaces nothing", self._stale_edit),
            ("a new file never replaces an unknown one", self._blind_create),
            ("two edits of one file are both kept", self._two_edits),
            ("a resolution reaches every machine", self._resolution),
            ("a resolution never replaces a version that was not shown", self._late_resolution),
            ("a deleted file's text stays restorable", self._delete),
            ("a restored file reaches the other machine", self._restored),
        )

    def _tried(self, promise: str, step: Callable[[], tuple[Keeper, str]]) -> DrillRow:
        try:
            keeper, detail = step()
        except _NotKept as error:
            return DrillRow(promise, Keeper.NOBODY, str(error))
        except AgentError as error:
            return DrillRow(promise, Keeper.NOBODY, error.message)
        except OSError as error:
            return DrillRow(promise, Keeper.NOBODY, f"{error.filename or 'the disk'}: {error.strerror}")
        return DrillRow(promise, keeper, detail)

    def _both(self) -> None:
        self._first.sync()
        self._second.sync()

    def _expect(self, machine: _Machine, path: str, text: str | None) -> None:
        found = machine.read(path)
        if found != text:
            held = "is missing" if found is None else f"holds {len(found)} other characters"
            raise _NotKept(f"{path} {held} on a machine" if text is not None else f"{path} is still there on a machine")

    def _new_file(self) -> tuple[Keeper, str]:
        self._first.write("new.md", "a new file\n")
        self._both()
        self._expect(self._second, "new.md", "a new file\n")
        return Keeper.SERVER, "it arrived with the first pass"

    def _odd_texts(self) -> tuple[Keeper, str]:
        for number, text in enumerate(_ODD_TEXTS):
            self._first.write(f"odd-{number}.md", text)
        self._both()
        for number, text in enumerate(_ODD_TEXTS):
            self._expect(self._second, f"odd-{number}.md", text)
        return Keeper.SERVER, f"{len(_ODD_TEXTS)} texts, an empty one among them"

    def _replaced_version(self) -> tuple[Keeper, str]:
        self._first.write("edited.md", "the first version\n")
        self._both()
        self._second.write("edited.md", "the second version\n")
        self._second.sync()
        self._first.sync()
        self._expect(self._first, "edited.md", "the second version\n")
        return self._restorable("edited.md", "the first version\n", self._first)

    def _restorable(self, path: str, text: str, machine: _Machine) -> tuple[Keeper, str]:
        """Find the side that still holds a text which was replaced or removed."""
        if any(
            version.hash == _sha(text) and version.content for version in self._first.remote.history(self._source, path)
        ):
            return Keeper.SERVER, "the server's history or feed holds it"
        if machine.trashed(text):
            return Keeper.AGENT, "the trash of the other machine holds it, the server's history does not"
        raise _NotKept("neither the server's history nor the trash holds it")

    def _push(self, path: str, text: str, base: str | None, operation: str = "") -> Result:
        """Send one operation past the engine, as another program would."""
        content = text.encode()
        digest = None if base is None else _sha(base)
        outgoing = Outgoing(Operation(operation or _id(), path, Verb.UPSERT, _sha(text), len(content), digest), content)
        machine = self._first
        answer = machine.remote.push(self._source, machine.connector, [outgoing])
        if answer.problem is not None:
            raise RemoteError(answer.problem)
        return answer.outcomes[0].result

    def _sent_twice(self) -> tuple[Keeper, str]:
        operation = _id()
        self._push("twice.md", "sent once\n", None, operation)
        self._push("twice.md", "sent once and replaced\n", "sent once\n")
        again = self._push("twice.md", "sent once\n", None, operation)
        head = self._first.remote.head(self._source, "twice.md")
        if head is None or head.content != b"sent once and replaced\n":
            raise _NotKept("the repeated operation replaced a newer text")
        if again is Result.APPLIED:
            return Keeper.SERVER, "it answered the repeated operation with its first outcome"
        return Keeper.AGENT, "the server ignored it without saying so; the agent looks its operation up in the feed"

    def _stale_edit(self) -> tuple[Keeper, str]:
        self._push("stale.md", "one\n", None)
        self._push("stale.md", "two\n", "one\n")
        self._push("stale.md", "an edit of one\n", "one\n")
        self._conflict_holding("stale.md", "an edit of one\n", "two\n")
        return Keeper.SERVER, "it refused the edit and kept both texts in a conflict"

    def _blind_create(self) -> tuple[Keeper, str]:
        self._push("blind.md", "somebody's text\n", None)
        self._push("blind.md", "another machine's first text\n", None)
        self._conflict_holding("blind.md", "another machine's first text\n", "somebody's text\n")
        if self._first.remote.capabilities.item_results:
            return Keeper.SERVER, "it refuses a new file over another text, with and without a base"
        return Keeper.AGENT, "the agent always names a base; this server would overwrite without one"

    def _conflict_holding(self, path: str, refused: str, head: str) -> RemoteConflict:
        found = next((c for c in self._first.remote.conflicts(self._source) if c.path == path), None)
        held = self._first.remote.head(self._source, path)
        if held is None or held.content.decode() != head:
            raise _NotKept("the newer text was replaced")
        if found is None or found.local_text != refused.encode():
            raise _NotKept("the refused text is in no conflict")
        return found

    def _two_edits(self) -> tuple[Keeper, str]:
        self._first.write("both.md", "the common text\n")
        self._both()
        self._first.write("both.md", "the text of the first machine\n")
        self._second.write("both.md", "the text of the second machine\n")
        self._both()
        self._expect(self._first, "both.md", "the text of the first machine\n")
        self._expect(self._second, "both.md", "the text of the second machine\n")
        texts = {c.local_text for c in self._first.remote.conflicts(self._source) if c.path == "both.md"}
        if b"the text of the second machine\n" in texts:
            return Keeper.SERVER, "a conflict on the server holds the second text"
        return Keeper.AGENT, "the second machine keeps its text beside the server's"

    def _resolution(self) -> tuple[Keeper, str]:
        self._second.resolve("both.md", Resolution.KEEP_LOCAL)
        self._second.sync()
        self._first.sync()
        self._expect(self._first, "both.md", "the text of the second machine\n")
        self._expect(self._second, "both.md", "the text of the second machine\n")
        return Keeper.SERVER, "both machines hold the chosen text"

    def _late_resolution(self) -> tuple[Keeper, str]:
        self._push("late.md", "shown\n", None)
        self._push("late.md", "a first text\n", None)
        conflict = self._conflict_holding("late.md", "a first text\n", "shown\n")
        self._push("late.md", "saved after it was shown\n", "shown\n")
        remote = self._first.remote
        if not remote.capabilities.expected_hash:
            return Keeper.AGENT, "the agent reads the head before it resolves; the server takes any resolution"
        try:
            remote.resolve(self._source, conflict.id, Resolution.KEEP_LOCAL, None, _sha("shown\n"))
        except RemoteError as error:
            if error.problem.kind is not ProblemKind.STALE:
                raise
            return Keeper.SERVER, "it refused a resolution of an older head"
        raise _NotKept("the resolution replaced a version that it had not been shown")

    def _delete(self) -> tuple[Keeper, str]:
        self._first.write("deleted.md", "a text to delete\n")
        self._both()
        (self._first.folder / "deleted.md").unlink()
        self._both()
        self._expect(self._second, "deleted.md", None)
        return self._restorable("deleted.md", "a text to delete\n", self._second)

    def _restored(self) -> tuple[Keeper, str]:
        self._second.restore("deleted.md", "a text to delete\n")
        self._first.sync()
        self._expect(self._first, "deleted.md", "a text to delete\n")
        return Keeper.SERVER, "the text is back on both machines"

    def _stated(self) -> list[DrillRow]:
        """Promises that only a race or a long wait could test: the server's own statement decides."""
        can = self._first.remote.capabilities
        winner = "two writers on one version never both win"
        events = "no event is left out of the feed"
        return [
            DrillRow(winner, Keeper.SERVER, "as the server states")
            if can.ordered_feed
            else DrillRow(winner, Keeper.AGENT, "the agent finds an overwritten text in the feed and parks it"),
            DrillRow(events, Keeper.SERVER, "as the server states")
            if can.ordered_feed
            else DrillRow(events, Keeper.AGENT, "the agent reads the feed's last minute again, and verifies hourly"),
        ]

    def _remove_files(self) -> tuple[str, ...]:
        """Resolve all conflicts and delete all files of the scratch source. Returns what is left, in words."""
        remote, connector = self._first.remote, self._first.connector
        try:
            for conflict in list(remote.conflicts(self._source)):
                head = remote.head(self._source, conflict.path)
                with contextlib.suppress(RemoteError):
                    expected = None if head is None else head.hash
                    remote.resolve(self._source, conflict.id, Resolution.KEEP_RAVEN, None, expected)
            files = [file for page in list(remote.listing(self._source)) for file in page]
            batch = [Outgoing(Operation(_id(), file.path, Verb.DELETE, None, 0, file.hash)) for file in files]
            if batch:
                remote.push(self._source, connector, batch)
            left = [file.path for page in remote.listing(self._source) for file in page]
        except RemoteError as error:
            return (f"the files of the source {SOURCE_NAME!r}: {error.message}",)
        return tuple(f"{path} in the source {SOURCE_NAME!r}" for path in left)


def _id() -> str:
    return f"drill-{secrets.token_hex(12)}"


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
