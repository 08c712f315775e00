"""The id of this machine's connector, made by the server or by the client."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from agent.core.errors import Problem, ProblemKind, RemoteError
from agent.remotes.protocol import Capabilities, Registration
from agent.runtime import server_session
from agent.runtime.books import Books
from agent.runtime.hub_process import HubProcess
from agent.runtime.server_session import ServerSession
from agent.settings.credentials import CredentialStore
from agent.settings.home import Home
from agent.settings.links import ServerEntry
from agent.settings.settings import Settings

ENTRY = ServerEntry("office", "https://office.test", "w")
UNNAMED = Settings()
LOST = RemoteError(Problem(ProblemKind.OFFLINE, "the answer was lost"))
UNKNOWN = RemoteError(Problem(ProblemKind.NOT_FOUND, "no such connector"))


@dataclass
class Server:
    """A server that registers machines.

    Attributes:
        known: connectors that it has.
        calls: what was asked, and with which id or name.
        renames: it can rename a connector, or refuses with this problem.
        names: those that registrations sent.
        loses: answers of registrations that get lost, from now on.
    """

    capabilities: Capabilities
    known: list[str] = field(default_factory=list)
    calls: list[tuple[str, str | None]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    loses: int = 0
    renames: bool | RemoteError = True

    def heartbeat(self, connector_id: str) -> Registration:
        """See ``Remote``."""
        self.calls.append(("heartbeat", connector_id))
        if connector_id not in self.known:
            raise UNKNOWN
        return Registration(connector_id, self.capabilities)

    def register(self, name: str, platform: str, version: str, wanted_id: str | None = None) -> Registration:
        """See ``Remote``."""
        self.calls.append(("register", wanted_id))
        self.names.append(name)
        made = wanted_id if self.capabilities.client_made_id else f"made-by-the-server-{len(self.known)}"
        assert made is not None
        if made not in self.known:
            self.known.append(made)
        if self.loses:
            self.loses -= 1
            raise LOST
        return Registration(made, self.capabilities)

    def rename_connector(self, connector_id: str, name: str) -> bool:
        """See ``Remote``."""
        if isinstance(self.renames, RemoteError):
            raise self.renames
        if self.renames:
            self.calls.append(("rename", name))
        return self.renames

    def close(self) -> None:
        """See ``Remote``."""


def session(
    server: Server,
    entry: ServerEntry,
    saved: list[ServerEntry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings = UNNAMED,
) -> ServerSession:
    """A new process's session with this server; ``saved`` has what it wrote into the registry."""
    monkeypatch.setattr(server_session, "open_remote", lambda *_, **__: server)
    home = Home.from_environment({"RAVEN_AGENT_HOME": str(tmp_path)})
    credentials = CredentialStore(home, settings, {})
    hub = HubProcess(tmp_path / "hub", 0, 90)
    books = Books(tmp_path / "index.sqlite", tuple)
    return ServerSession(entry, settings, credentials, hub, "this-machine", saved.append, lambda _: None, books)


@pytest.mark.parametrize("client_made", [True, False])
def test_a_registered_machine_keeps_its_connector(
    client_made: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process sends a heartbeat with the id that was saved."""
    server, saved = Server(Capabilities(client_made_id=client_made)), [ENTRY]
    first = session(server, ENTRY, saved, tmp_path, monkeypatch).connection().connector_id
    assert first == saved[-1].connector_id == server.known[0]
    assert session(server, saved[-1], saved, tmp_path, monkeypatch).connection().connector_id == first
    assert [name for name, _ in server.calls] == ["register", "heartbeat"]


def test_the_features_of_a_server_are_unknown_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FC4: those of another dialect are not taken for its own."""
    server, saved = Server(Capabilities(history=False)), [ENTRY]
    made = session(server, ENTRY, saved, tmp_path, monkeypatch)
    assert made.known_capabilities is None
    made.connection()
    assert made.known_capabilities == Capabilities(history=False)


def test_a_lost_answer_leaves_one_connector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id was durable before the call, so the next process asks for the same connector."""
    server, saved = Server(Capabilities(client_made_id=True), loses=1), [ENTRY]
    with pytest.raises(RemoteError):
        session(server, ENTRY, saved, tmp_path, monkeypatch).connection()
    wanted = saved[-1].connector_id
    assert ("register", wanted) in server.calls
    assert session(server, saved[-1], saved, tmp_path, monkeypatch).connection().connector_id == wanted
    assert server.known == [wanted]


def test_a_forgotten_connector_is_registered_under_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations and conflicts on the server name it."""
    server, saved = Server(Capabilities(client_made_id=True)), [ENTRY]
    entry = replace(ENTRY, connector_id="mine", machine_id="this-machine")
    assert session(server, entry, saved, tmp_path, monkeypatch).connection().connector_id == "mine"
    assert server.calls == [("heartbeat", "mine"), ("register", "mine")]


def test_another_machines_connector_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copied home makes an id of its own."""
    server, saved = Server(Capabilities(client_made_id=True), known=["theirs"]), [ENTRY]
    entry = replace(ENTRY, connector_id="theirs", machine_id="another-machine")
    made = session(server, entry, saved, tmp_path, monkeypatch).connection().connector_id
    assert made not in (None, "theirs")
    assert (saved[-1].connector_id, saved[-1].machine_id) == (made, "this-machine")


NAMED, RENAMED = Settings(machine_name="attic"), Settings(machine_name="cellar")
REGISTERED = replace(ENTRY, connector_id="mine", machine_id="this-machine")


def test_a_changed_name_is_sent_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the next connection. Without the setting the host name is sent again."""
    server, saved = Server(Capabilities(), known=["mine"]), [REGISTERED]
    for settings in (Settings(), NAMED, NAMED, RENAMED, Settings()):
        session(server, saved[-1], saved, tmp_path, monkeypatch, settings).connection()
    sent = [name for call, name in server.calls if call == "rename"]
    assert sent == ["attic", "cellar", socket.gethostname()]


def test_a_new_connector_gets_the_name_of_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registration sends it, so no rename follows."""
    server, saved = Server(Capabilities()), [ENTRY]
    for _ in range(2):
        session(server, saved[-1], saved, tmp_path, monkeypatch, NAMED).connection()
    assert server.names == ["attic"] and saved[-1].machine_name == "attic"
    assert [call for call, _ in server.calls] == ["register", "heartbeat"]


@pytest.mark.parametrize("renames", [False, LOST])
def test_a_name_that_is_not_taken_stops_nothing(
    renames: bool | RemoteError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without the call, and one that refuses it, are asked again at the next start."""
    server, saved = Server(Capabilities(), known=["mine"], renames=renames), [REGISTERED]
    assert session(server, REGISTERED, saved, tmp_path, monkeypatch, NAMED).connection().connector_id == "mine"
    server.renames = True
    session(server, saved[-1], saved, tmp_path, monkeypatch, NAMED).connection()
    assert server.calls[-1] == ("rename", "attic")
