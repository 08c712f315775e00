"""Try every promise about a person's texts on a scratch source of one server, with two machines and the real engine.

The two machines are agents with temporary homes and folders. At the end all folders, homes, files and conflicts are
removed. The empty source stays, as the protocol cannot delete one, and the next drill uses it again.
"""

from __future__ import annotations

import contextlib
import enum
import secrets
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.core.errors import AgentError, ProblemKind, RemoteError
from agent.core.model import Mode, Resolution
from agent.core.remote_records import Operation, RemoteConflict, RemoteFile, Result, Verb
from agent.doctor.drill_machine import ACCOUNT, SOURCE_NAME, DrillMachine, PromiseBroken, content_hash, drill_machine
from agent.remotes.protocol import Outgoing, RemoteSource
from agent.settings.links import ServerEntry
from agent.settings.settings import Settings

_ODD_TEXTS: Final = ("", "no line end", "two\r\nline ends\r\n", "ümläut \u2028 and 漢字\n", '"quotes" \\ and\ttabs\n')


class Keeper(enum.StrEnum):
    """The side that keeps a promise."""

    SERVER = "server"
    AGENT = "agent"
    NEITHER = "neither"


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
        return self.kept_by is not Keeper.NEITHER


class DrillReport(Struct, frozen=True):
    """All rows of a drill, and what could not be removed afterwards (empty for nothing)."""

    server: str
    rows: tuple[DrillRow, ...]
    left_behind: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True if every promise was kept and everything was removed."""
        return all(row.ok for row in self.rows) and not self.left_behind


def run_drill(entry: ServerEntry, token: str, settings: Settings) -> DrillReport:
    """Run the drill on the server of an account.

    Args:
        entry: the account. Its connector is not used: each machine of the drill registers its own.

    Raises:
        AgentError: the server cannot be reached, refuses the account, or cannot create the scratch source.
    """
    top = Path(tempfile.mkdtemp(prefix="raven-agent-drill-"))
    account = replace(entry, name=ACCOUNT, connector_id=None, machine_id=None, declared_in=None, token_file="")
    # A person's own settings must not stop a drill: its brake and its waits are the defaults.
    plain = Settings(
        ca_file=settings.ca_file, credentials="file", server_url=entry.url, workspace=entry.workspace,
        pinakes_hash=settings.pinakes_hash,
    )  # fmt: skip
    try:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(drill_machine(top / "first", account, token, plain))
            second = stack.enter_context(drill_machine(top / "second", account, token, plain))
            return _Drill(entry.name, first, second).run()
    finally:
        shutil.rmtree(top, ignore_errors=True)


class _Drill:
    """The steps of one drill, in order. Each step uses files of its own."""

    def __init__(self, server: str, first: DrillMachine, second: DrillMachine) -> None:
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
        # A server may list a source only once it holds a file.
        listed = (each for each in self._first.remote.sources() if each.id == self._source)
        joined = next(listed, RemoteSource(self._source, SOURCE_NAME, Mode.BIDIRECTIONAL, None, False))
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
        except PromiseBroken as error:
            return DrillRow(promise, Keeper.NEITHER, str(error))
        except AgentError as error:
            return DrillRow(promise, Keeper.NEITHER, error.message)
        except OSError as error:
            return DrillRow(promise, Keeper.NEITHER, f"{error.filename or 'the disk'}: {error.strerror}")
        return DrillRow(promise, keeper, detail)

    def _both(self) -> None:
        self._first.sync()
        self._second.sync()

    def _expect(self, machine: DrillMachine, path: str, text: str | None) -> None:
        found = machine.read(path)
        if found != text:
            state = "is missing" if found is None else "still exists" if text is None else "holds another text"
            raise PromiseBroken(f"{path} {state} on a machine")

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

    def _restorable(self, path: str, text: str, machine: DrillMachine) -> tuple[Keeper, str]:
        """Find the side that still holds a text which was replaced or removed."""
        versions = self._first.remote.history(self._source, path)
        if any(version.hash == content_hash(text) and version.content for version in versions):
            return Keeper.SERVER, "the server's history or feed holds it"
        if machine.trashed(text):
            return Keeper.AGENT, "the trash of the other machine holds it, the server's history does not"
        raise PromiseBroken("neither the server's history nor the trash holds it")

    def _push(self, path: str, text: str, base: str | None, operation: str = "") -> Result:
        """Send one operation past the engine, as another program would."""
        content = text.encode()
        digest = None if base is None else content_hash(base)
        outgoing = Outgoing(
            Operation(operation or _id(), path, Verb.UPSERT, content_hash(text), len(content), digest), content
        )
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
            raise PromiseBroken("the repeated operation replaced a newer text")
        if again is Result.APPLIED:
            return Keeper.SERVER, "it answered the repeated operation with its first outcome"
        return Keeper.AGENT, "the server ignored it without saying so; the agent looks its operation up in the feed"

    def _stale_edit(self) -> tuple[Keeper, str]:
        self._push("stale.md", "one\n", None)
        self._push("stale.md", "two\n", "one\n")
        self._push("stale.md", "an edit of one\n", "one\n")
        conflict = self._conflict_holding("stale.md", "an edit of one\n", "two\n")
        kept = "kept both texts in a conflict" if conflict.local_text else "opened a conflict with the hash of the edit"
        return Keeper.SERVER, f"it refused the edit and {kept}"

    def _blind_create(self) -> tuple[Keeper, str]:
        self._push("blind.md", "another person's text\n", None)
        self._push("blind.md", "another machine's first text\n", None)
        self._conflict_holding("blind.md", "another machine's first text\n", "another person's text\n")
        can = self._first.remote.capabilities
        if can.item_results or can.blind_resolve:
            return Keeper.SERVER, "it refuses a new file over another text, with and without a base"
        return Keeper.AGENT, "the agent always names a base; this server would overwrite without one"

    def _conflict_holding(self, path: str, refused: str, head: str) -> RemoteConflict:
        found = next((c for c in self._first.remote.conflicts(self._source) if c.path == path), None)
        held = self._first.remote.head(self._source, path)
        if held is None or (held.content or b"").decode() != head:
            raise PromiseBroken("the newer text was replaced")
        # A server that compares before an upload has the hash of a refused text only. Its machine keeps the text.
        holds = found is not None and (found.local_text or b"") in (refused.encode(), b"")
        if found is None or not holds or found.local_hash != content_hash(refused):
            raise PromiseBroken("the refused text is in no conflict")
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
        if remote.capabilities.blind_resolve:
            remote.resolve(self._source, conflict.id, Resolution.KEEP_LOCAL, None, content_hash("shown\n"))
            self._push("late.md", "decided\n", "shown\n")
            self._conflict_holding("late.md", "decided\n", "saved after it was shown\n")
            return Keeper.SERVER, "a resolution only closes the conflict; the decided text is compared like any edit"
        if not remote.capabilities.expected_hash:
            return Keeper.AGENT, "the agent reads the head before it resolves; the server takes any resolution"
        try:
            remote.resolve(self._source, conflict.id, Resolution.KEEP_LOCAL, None, content_hash("shown\n"))
        except RemoteError as error:
            if error.problem.kind is not ProblemKind.STALE:
                raise
            return Keeper.SERVER, "it refused a resolution of an older head"
        raise PromiseBroken("the resolution replaced a version that it had not been shown")

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
            batch = [Outgoing(removal) for file in files if (removal := self._removal(file)) is not None]
            if batch:
                remote.push(self._source, connector, batch)
            left = [file.path for page in remote.listing(self._source) for file in page]
        except RemoteError as error:
            return (f"the files of the source {SOURCE_NAME!r}: {error.message}",)
        return tuple(f"{path} in the source {SOURCE_NAME!r}" for path in left)

    def _removal(self, file: RemoteFile) -> Operation | None:
        if file.hash is not None:
            return Operation(_id(), file.path, Verb.DELETE, None, 0, file.hash, file.rev, file.remote_id)
        # This listing has no hashes; the head has.
        head = self._first.remote.head(self._source, file.path)
        if head is None:
            return None
        return Operation(_id(), file.path, Verb.DELETE, None, 0, head.hash, head.rev, head.remote_id)


def _id() -> str:
    return f"drill-{secrets.token_hex(12)}"
