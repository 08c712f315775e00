"""Invites: one code, one machine, one certificate."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from agent.core.errors import ProblemKind, RemoteError, UsageError
from agent.hub.certificate import own_certificate
from agent.hub.door import Door, noted_door
from agent.hub.store.invite_registry import INVITE_SECONDS, InviteProblem, InviteRegistry, StoredInvite
from agent.hub.store.sql_store import SqlStore, sqlite_url
from agent.hub.store.token_registry import TokenRegistry
from agent.remotes.hub_join import exchange, first_answer
from agent.runtime.hub_process import HubProcess
from agent.settings.invite import Invite
from hub.fixtures import WORKSPACE, OverHttp, Running, running_hub, together
from support.eventually import eventually, patience
from support.processes import Home

STORED = StoredInvite(WORKSPACE, "ada", 30)
NOW = 1_700_000_000_000


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Running]:
    """A hub with a door."""
    with running_hub(tmp_path / "hub", "--port", "0", "--door", "127.0.0.1:0") as running:
        yield running


def door_of(hub: Running) -> Door:
    """The door that the hub noted."""
    found = noted_door(hub.data)
    assert found is not None and found.pin is not None
    return found


def invited(hub: Running) -> Invite:
    """A new invite to the hub."""
    store = SqlStore(sqlite_url(hub.data / "hub.db"))
    try:
        code, _ = InviteRegistry(store).add(STORED, hub_now())
    finally:
        store.close()
    door = door_of(hub)
    return Invite((f"127.0.0.1:{door.port}",), door.pin or "", code)


def hub_now() -> int:
    """The hub's clock."""
    from agent.hub.domain.ids import system_clock

    return system_clock()


def joined(invite: Invite, **changed: str) -> str:
    """The token for an invite."""
    pin, code = changed.get("pin", invite.pin), changed.get("code", invite.code)
    return exchange(invite.urls[0], pin, code, "laptop").token


def refusal(invite: Invite, **changed: str) -> RemoteError:
    """The refusal of an invite."""
    with pytest.raises(RemoteError) as caught:
        joined(invite, **changed)
    return caught.value


def test_of_concurrent_joins_with_one_code_one_succeeds(store: SqlStore) -> None:
    """On either database, eight calls at once take one invite once; it is used for the ninth."""
    registry = InviteRegistry(store)
    code, ends = registry.add(STORED, NOW)
    taken = together(*[lambda: registry.use(code, NOW)] * 8)
    assert [one for one in taken if one] == [STORED]
    assert (registry.problem(code, NOW), ends) == (InviteProblem.USED, NOW + INVITE_SECONDS * 1000)


def test_an_invite_ends_after_ten_minutes(store: SqlStore) -> None:
    """One millisecond before its end a code is taken, at its end it is not, and a day later it is forgotten."""
    registry = InviteRegistry(store)
    code, ends = registry.add(STORED, NOW)
    assert registry.problem(code, ends - 1) is None
    assert (registry.problem(code, ends), registry.use(code, ends)) == (InviteProblem.ENDED, None)
    registry.add(STORED, ends + 86_400_001)
    assert registry.problem(code, ends) is InviteProblem.UNKNOWN


def test_an_exchanged_token_works_and_is_listed_by_machine(hub: Running) -> None:
    """The token opens the workspace of the invite, is listed with the machine's name, and a replay is refused."""
    invite = invited(hub)
    client = OverHttp(hub.url, joined(invite))
    assert client.ok("sources/list") == []
    client.http.close()
    with pytest.raises(RemoteError, match="used already") as caught:
        joined(invite)
    assert caught.value.problem.kind is ProblemKind.SIGNED_OUT
    store = SqlStore(sqlite_url(hub.data / "hub.db"))
    (listed,) = TokenRegistry(store).all()
    store.close()
    assert (listed.machine, listed.user, listed.workspace) == ("laptop", "ada", WORKSPACE)
    assert listed.expires_at - listed.created_at == 30 * 86_400_000


def test_a_hub_has_the_name_that_its_machine_was_given(tmp_path: Path) -> None:
    """The setting machine_name names the account of those that join; a new name holds from the next look at the hub."""
    hub = HubProcess(tmp_path / "hub", 0, 90, "127.0.0.1:0", "-server 1")
    try:
        for name in ("-server 1", "attic"):
            hub.use_name(name)
            hub.ensure()
            assert hub.door is not None
            with closing(SqlStore(sqlite_url(tmp_path / "hub" / "hub.db"))) as store:
                code, _ = InviteRegistry(store).add(STORED, hub_now())
            assert exchange(f"https://{hub.door.listen}", hub.door.pin, code, "laptop").hub == name
    finally:
        hub.stop()


def test_a_guessed_code_is_refused(hub: Running) -> None:
    """A code that was never given out, and text that is none, get the same refusal."""
    invite = invited(hub)
    for code in ("0" * 32, "x", "'; DROP TABLE invites; --".replace(" ", "")):
        assert "gave out no such invite" in refusal(invite, code=code).message
    assert joined(invite)


def test_a_wrong_pin_gets_no_code(hub: Running, tmp_path: Path) -> None:
    """A machine with another certificate is refused before anything is sent, so the invite still works."""
    invite = invited(hub)
    error = refusal(invite, pin="ab" * 32)
    assert error.problem.kind is ProblemKind.OFFLINE
    assert "its certificate is not the one of the hub" in error.message
    with listening(own_certificate(tmp_path)) as (port, received):
        other = Invite((f"127.0.0.1:{port}",), invite.pin, invite.code)
        assert "its certificate is not the one of the hub" in refusal(other).message
    assert received == [b""]
    assert joined(invite)


def test_a_wrong_host_is_passed_over(hub: Running, tmp_path: Path) -> None:
    """An address that leads to another hub, or to nothing, is passed over for the next one."""
    with running_hub(tmp_path / "other", "--port", "0", "--door", "127.0.0.1:0") as other:
        assert door_of(other).pin != door_of(hub).pin
        invite = invited(hub)
        urls = ["https://127.0.0.1:9", *(f"https://127.0.0.1:{door_of(one).port}" for one in (other, hub))]
        found, _ = first_answer(urls, lambda url: exchange(url, invite.pin, invite.code, "laptop"))
        assert found == urls[2]


@contextmanager
def listening(certificate: Path) -> Iterator[tuple[int, list[bytes]]]:
    """A server with TLS that records what each connection sends after the handshake, and answers nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def serve() -> None:
            plain, _ = listener.accept()
            with plain, context.wrap_socket(plain, server_side=True) as secured:
                try:
                    received.append(secured.recv(65_536))
                except OSError:
                    received.append(b"")

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], received
        thread.join(patience(20))


def test_the_door_is_encrypted_and_the_inner_address_is_not(hub: Running) -> None:
    """At the door plain HTTP gets no answer; this machine's own address stays as it was."""
    with socket.create_connection(("127.0.0.1", door_of(hub).port), 10) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nhost: hub\r\n\r\n")
        with suppress(ConnectionResetError):
            assert not plain.recv(100).startswith(b"HTTP")
    assert hub.url.startswith("http://127.0.0.1:")
    assert hub.client().http.get("/healthz").status_code == 200
    assert stat.S_IMODE((hub.data / "certificate.pem").stat().st_mode) == 0o600


def test_an_invite_survives_no_change_of_a_character() -> None:
    """The line comes back as it was; a changed, missing or added character is refused, and so is any other text."""
    invite = Invite(("192.168.7.10:8675", "https://hub.example/raven"), "ab" * 32, "cd" * 16)
    text = invite.to_text()
    assert Invite.from_text(f" {text}\n") == invite
    assert "cdcd" not in repr(invite)
    unpinned = Invite(("https://hub.example",), "", "cd" * 16)
    assert Invite.from_text(unpinned.to_text()) == unpinned
    for place in range(len("raven1_"), len(text)):
        other = "A" if text[place] != "A" else "B"
        for changed in (text[:place] + other + text[place + 1 :], text[:place], text[:place] + "-" + text[place:]):
            with pytest.raises(UsageError, match="missing or changed"):
                Invite.from_text(changed)
    for wrong in ("", "raven2_abc", "https://hub.example", text.upper()):
        with pytest.raises(UsageError, match="not an invite"):
            Invite.from_text(wrong)


def test_an_account_that_joined_trusts_its_hub_alone(tmp_path: Path) -> None:
    """`hub invite` and `join` on two homes; then another hub takes the address, and no token reaches it."""
    first, second = Home(tmp_path, "first"), Home(tmp_path, "second")
    (first.folder / "a.md").write_text("one")
    assert first.run("up", first.folder, "--once").code == 0
    with first.daemon():
        made = first.json("hub", "invite", "--listen", "127.0.0.1:0")
        assert made["only_here"] is True and made["login"] is None and len(made["pin"]) == 64
        linked = second.json("join", made["invite"], second.folder, "--name", "desk")
        assert (linked["name"], linked["workspace"]) == ("desk", "local")
        assert second.run("sync").code == 0
        assert (second.folder / "a.md").read_text() == "one"
        replayed = second.run("join", made["invite"], "--json")
        assert (replayed.code, replayed.error["code"]) == (4, "signed_out")
        again = second.json("join", first.json("hub", "invite")["invite"])
        assert again["name"] == "desk"
        (account,) = second.json("servers")
        assert account["name"] == "desk"
        token = first.run("hub", "token", "--workspace", "local", "--user", "owner").out
        # A login there needs neither the dialect nor the name: the pinned certificate identifies the account.
        signed = second.json("login", account["url"], "--token-stdin", stdin=token)
        assert (signed["name"], signed["folders"]) == ("desk", 1)
    port = int(made["addresses"][0].rpartition(":")[2])
    with running_hub(tmp_path / "thief", "--port", "0", "--door", f"127.0.0.1:{port}") as thief:
        assert door_of(thief).port == port
        ran = second.run("sync", "--json")
        assert ran.code == 5, ran
        assert "its certificate is not the one of the hub" in second.run("doctor").out
    assert (second.folder / "a.md").read_text() == "one"


def test_a_new_address_keeps_the_links(tmp_path: Path) -> None:
    """The hub listens elsewhere, as after a new lease; another invite gives the account the new address."""
    first, second = Home(tmp_path, "first"), Home(tmp_path, "second")
    (first.folder / "a.md").write_text("one")
    assert first.run("up", first.folder, "--once").code == 0
    with first.daemon() as daemon:
        for address in ("127.0.0.1:0", "127.0.0.2:0"):
            invite = first.json("hub", "invite", "--listen", address)["invite"]
            folder = [second.folder] if address.startswith("127.0.0.1") else []
            second.json("join", invite, *folder, "--name", "desk")
        assert second.run("sync").code == 0
        (second.folder / "b.md").write_text("two")
        assert second.run("sync").code == 0
        eventually((first.folder / "b.md").exists, 20, "the edit arrives")
        first.run("config", "unset", "hub_listen")
        eventually(lambda: daemon.call("ensure_local_hub")["listen"] is None, 20, "the door is closed")
        assert second.run("sync").code == 5
