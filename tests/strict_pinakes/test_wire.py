"""What the adapter sends to a Pinakes server, request by request, and its device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace as with_traps

import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.core.remote_records import Result
from agent.remotes.http.client import HttpClient
from agent.remotes.issued_tokens import MemorySecret
from agent.remotes.pinakes.adapter import PinakesRemote
from agent.remotes.pinakes.profile import pinakes_profile
from agent.remotes.pinakes.scope import sources_overlap
from remotes.suite.world import sha
from strict_pinakes.state import PinTraps
from strict_pinakes.world import PinakesWorld
from strict_raven.faults import drop_answer
from strict_raven.transport import HandlerTransport
from strict_raven.wire import Response


@pytest.fixture
def world() -> Iterator[PinakesWorld]:
    """The server without a trap."""
    made = PinakesWorld()
    yield made
    made.close()


def sent(world: PinakesWorld) -> list[str]:
    """The requests so far, without their parameters."""
    return [f"{each.method} {each.path.partition('?')[0].removeprefix('/api/')}" for each in world.requests]


def another_process(world: PinakesWorld, secret: MemorySecret) -> PinakesRemote:
    """The adapter of a process that keeps this secret."""
    http = HttpClient(
        "http://127.0.0.1", lambda: world.bearer[0], pinakes_profile(""), transport=HandlerTransport(world.handle)
    )
    world._closing.append(http.close)
    return PinakesRemote(http, secret=secret)


# Requests


def test_a_new_file_is_reported_uploaded_and_completed(world: PinakesWorld) -> None:
    """One report for all, then a session for each content that the server lacks."""
    world.requests.clear()
    assert world.results(world.edit("a.md", "A"), world.edit("b.md", "")) == [Result.APPLIED] * 2
    one, other = world.server.state.sessions
    assert sent(world) == [
        "POST sync/report",
        "POST sync/upload", f"PUT sync/upload/{one}/chunks/0", f"POST sync/upload/{one}/complete",
        "POST sync/upload", f"POST sync/upload/{other}/complete",
    ]  # fmt: skip


def test_a_path_is_sent_segment_by_segment(world: PinakesWorld) -> None:
    """Slashes stay, everything else is encoded."""
    world.put("d e/ä?.md", "A")
    assert world.fetched("d e/ä?.md") == b"A"
    assert "GET sync/download/notes/d%20e/%C3%A4%3F.md" in sent(world)


@pytest.mark.parametrize("trap", ["only_versioned", "only_unversioned"])
def test_either_spelling_is_found_once(trap: str) -> None:
    """The first call tries the other spelling, and no later one does."""
    world = PinakesWorld(with_traps(PinTraps(), **{trap: True}))
    world.requests.clear()
    world.remote.sources()
    assert len(world.requests) == 1
    assert world.remote.head(world.source, "a.md") is None
    world.close()


def test_a_download_goes_on_only_in_the_same_content() -> None:
    """CR4: the part names the content that it continues; another one begins anew or is gone."""
    for trap in ("wrong_etag", "ignores_if_range", "ignores_ranges"):
        world = PinakesWorld(with_traps(PinTraps(), **{trap: True}))
        world.put("a.md", "A" * 50)
        rev = world.identity("a.md")[0]
        world.put("a.md", "B" * 50)
        with pytest.raises(RemoteError) as error:
            world.streamed("a.md", sha("A" * 50), 50, rev, None)
        assert error.value.problem.kind is ProblemKind.GONE
        world.close()


# The device


def test_a_registration_whose_answer_was_lost_is_found_again(world: PinakesWorld) -> None:
    """The device is not made twice, and gets a new token, as the first one was never seen."""
    remote = another_process(world, MemorySecret())
    world.faults.inject(drop_answer())
    with pytest.raises(RemoteError):
        remote.register("phone", "linux", "1", "id-of-phone")
    assert remote.register("phone", "linux", "1", "id-of-phone").connector_id == "id-of-phone"
    assert [each.name for each in remote.devices.all()] == ["laptop", "phone"]
    assert list(remote.conflicts(world.source)) == []


def test_a_lost_device_token_is_made_anew(world: PinakesWorld) -> None:
    """The store was emptied: the device is found by its mark, and its old token ends."""
    before = {each.token for each in world.server.state.devices.values()}
    remote = another_process(world, MemorySecret())
    remote.heartbeat("id-of-laptop")
    assert remote.push(world.source, None, [world.edit("a.md", "A")]).outcomes[0].result is Result.APPLIED
    assert len(world.server.state.devices) == 1
    assert not before & {each.token for each in world.server.state.devices.values()}


def test_a_refused_device_token_is_replaced_and_the_call_goes_on(world: PinakesWorld) -> None:
    """Another process took the device: both work, one after the other."""
    other = another_process(world, MemorySecret())
    other.heartbeat("id-of-laptop")
    for remote, path in ((other, "a.md"), (world.remote, "b.md"), (other, "c.md")):
        answer = remote.push(world.source, None, [world.edit(path, "A")])
        assert (answer.problem, answer.outcomes[0].result) == (None, Result.APPLIED)


def test_a_token_that_another_process_stored_is_used(world: PinakesWorld) -> None:
    """Two processes of one home share the store, so the token is made anew once."""
    secret = MemorySecret()
    first, second = another_process(world, secret), another_process(world, secret)
    first.register("phone", "linux", "1", "id-of-phone")
    second.heartbeat("id-of-phone")
    device = next(each for each in world.server.state.devices.values() if each.name == "phone")
    first.devices.new_token(device.id)
    for remote in (first, second):
        assert list(remote.conflicts(world.source)) == []
    assert sum("token" in path for path in sent(world)) == 2


def test_a_device_is_renamed_listed_and_removed(world: PinakesWorld) -> None:
    """A machine with another name is the same device; a removed one is not found by the next heartbeat."""
    world.remote.register("desk", "linux", "1", "id-of-laptop")
    (device,) = world.devices.all()
    assert world.devices.get(device.id).name == "desk"
    world.devices.remove(device.id)
    with pytest.raises(RemoteError) as error:
        world.remote.heartbeat(world.connector)
    assert error.value.problem.kind is ProblemKind.NOT_FOUND


def test_a_device_that_was_switched_off_is_refused_in_words(world: PinakesWorld) -> None:
    """And works again when it is switched on."""
    (device,) = world.devices.all()
    world.devices.change(device.id, enabled=False)
    with pytest.raises(RemoteError) as error:
        world.remote.heartbeat(world.connector)
    assert error.value.problem.kind is ProblemKind.FORBIDDEN
    world.devices.change(device.id, enabled=True)
    assert world.remote.heartbeat(world.connector).connector_id == world.connector


def test_a_refused_session_makes_no_device_token(world: PinakesWorld) -> None:
    """Session and device are refused alike; the device keeps its token."""
    before = dict(world.server.state.devices)
    world.bearer[0] = "nonsense"
    with pytest.raises(RemoteError) as error:
        world.drain()
    assert error.value.problem.kind is ProblemKind.SIGNED_OUT
    assert world.server.state.devices == before


# Sources


def test_a_source_is_a_folder_or_everything(world: PinakesWorld) -> None:
    """A file is in the source of its top-level folder, and in the whole account."""
    world.put("a.md", "A")
    world.server.put("top.md", b"T")
    world.server.put("other/b.md", b"B")
    listed = {source.name: source.id for source in world.remote.sources()}
    found = {name: {f.path for page in world.remote.listing(each) for f in page} for name, each in listed.items()}
    assert found == {
        "notes": {"a.md"}, "other": {"b.md"}, "(whole account)": {"notes/a.md", "other/b.md", "top.md"}
    }  # fmt: skip


def test_a_move_between_sources_is_a_delete_and_a_new_file(world: PinakesWorld) -> None:
    """Each source sees its own half."""
    world.put("a.md", "A")
    _, state = world.drain()
    world.server.move("notes/a.md", "other/a.md")
    assert world.drain(state)[0][0].__class__.__name__ == "Delete"
    world.server.move("other/a.md", "notes/b.md")
    world.drain(state)
    assert world.files() == {"b.md": sha("A")}


def test_only_nested_or_equal_sources_overlap() -> None:
    """The whole account has files in common with every folder."""
    assert sources_overlap("account", "folder:a")
    assert sources_overlap("folder:a", "account")
    assert sources_overlap("folder:a", "folder:a")
    assert not sources_overlap("folder:a", "folder:b")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_a_source_needs_the_name_of_a_folder(world: PinakesWorld, name: str) -> None:
    """A name that could lead out of the account is none."""
    with pytest.raises(RemoteError) as error:
        world.remote.create_source(name, None, "", [], [])  # type: ignore[arg-type]
    assert error.value.problem.kind is ProblemKind.BAD_REQUEST
    with pytest.raises(RemoteError):
        world.remote.pull(f"folder:{name}", None, 0, 0)


# Hashes


def test_a_wrong_hash_setting_is_said_and_harms_nothing() -> None:
    """A server of the other algorithm refuses the upload; the file is rejected with the setting's name."""
    world = PinakesWorld(algorithm="blake3")
    world.algorithm = "sha256"
    wrong = world.other()
    outcome = wrong.only(wrong.edit("a.md", "A"))
    assert outcome.result is Result.REJECTED
    assert "pinakes_hash" in (outcome.detail or "")
    assert world.held() == {}
    world.close()


def test_a_stored_pair_names_a_content_in_another_process() -> None:
    """With BLAKE3, the echo of an unanswered push is known after a restart, although its content is gone."""
    world = PinakesWorld(algorithm="blake3")
    ours = world.edit("a.md", "A")
    world.faults.inject(drop_answer(), on=world.commits)
    assert world.results(ours) == [Result.UNCERTAIN]
    world.put("a.md", "newer")
    fresh = world.other("laptop")
    fresh.book.__dict__.update(world.book.__dict__)
    events, _ = fresh.drain()
    assert [getattr(event, "operation_id", "") for event in events] == [ours.operation.id, None]
    world.close()


def test_a_web_page_is_never_taken_for_a_content(world: PinakesWorld) -> None:
    """A proxy's page has no hash that the server states, whatever its headers."""
    inner = world.api.handle

    def proxied(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        if "/download/" in path:
            return Response(200, {"content-type": "text/html"}, b"<html>")
        return inner(method, path, headers, body)

    world.put("a.md", "A")
    world.faults._handler = proxied
    with pytest.raises(RemoteError) as error:
        world.remote.head(world.source, "a.md")
    assert error.value.problem.kind is ProblemKind.GARBLED
