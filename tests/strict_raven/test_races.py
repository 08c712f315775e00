"""The strict server's races strike with their chances, and the same way for the same seed."""

from __future__ import annotations

import pytest

from strict_raven import Races
from strict_raven.client import SENTINEL, digest, server_and_client


def test_two_pushes_on_one_base_conflict_without_a_race() -> None:
    """Without chances the second one is stale."""
    server, client, _ = server_and_client()
    client.push("1", "a.md", "base")
    assert client.push("2", "a.md", "mine", digest("base")) == (1, 0)
    assert client.push("3", "a.md", "theirs", digest("base")) == (0, 1)
    assert server.heads(client.source) == {"a.md": "mine"}


def test_a_raced_push_overwrites_and_its_event_keeps_the_loser() -> None:
    """Both are counted as applied; the first is neither head nor version, and its event holds its text."""
    server, client, _ = server_and_client(Races(overwrite=1.0))
    client.push("1", "a.md", "base")
    assert client.push("2", "a.md", "mine", digest("base")) == (1, 0)
    assert client.push("3", "a.md", "theirs", digest("base")) == (1, 0)
    assert server.heads(client.source) == {"a.md": "theirs"}
    assert [version.content for version in server.versions(client.source, "a.md")] == ["base", "theirs"]
    assert [event["payload"]["content"] for event in client.events()] == ["base", "mine", "theirs"]
    assert server.conflicts_ever() == ()
    assert digest("mine") in server.texts_ever()


def test_a_push_races_only_within_the_window() -> None:
    """A stale push that comes later is a conflict, whatever the chance."""
    _, client, clock = server_and_client(Races(overwrite=1.0, window=0.25))
    client.push("1", "a.md", "base")
    client.push("2", "a.md", "mine", digest("base"))
    clock.now += 0.3
    assert client.push("3", "a.md", "theirs", digest("base")) == (0, 1)


@pytest.mark.parametrize("reader", ["sources/deltas", "sources/file"])
def test_a_version_that_was_read_no_longer_races(reader: str) -> None:
    """A client that could know the new head pushes after it, not at the same time."""
    _, client, _ = server_and_client(Races(overwrite=1.0))
    client.push("1", "a.md", "base")
    client.push("2", "a.md", "mine", digest("base"))
    client.call(reader, sourceId=client.source, relativePath="a.md")
    assert client.push("3", "a.md", "theirs", digest("base")) == (0, 1)


def test_items_of_one_batch_do_not_race_with_each_other() -> None:
    """The server takes them one after another."""
    _, client, _ = server_and_client(Races(overwrite=1.0))
    client.push("1", "a.md", "base")
    items = [
        {"operationId": name, "relativePath": "a.md", "content": name, "baseHash": digest("base")} for name in "23"
    ]
    answer = client.call("sources/push-batch", sourceId=client.source, items=items)
    assert (answer["applied"], answer["conflicts"]) == (1, 1)


def test_a_push_races_with_an_edit_made_on_the_server() -> None:
    """The edit answered `ok` is overwritten without a conflict."""
    server, client, _ = server_and_client(Races(overwrite=1.0))
    client.push("1", "a.md", "base")
    edit = {"sourceId": client.source, "relativePath": "a.md", "content": "edited", "baseHash": digest("base")}
    assert client.call("sources/file/update", **edit)["status"] == "ok"
    assert client.push("2", "a.md", "pushed", digest("base")) == (1, 0)
    assert server.heads(client.source) == {"a.md": "pushed"}


def test_a_delete_races_with_an_edit_and_takes_its_history() -> None:
    """Both are applied; the edit's text is in its event only."""
    server, client, _ = server_and_client(Races(overwrite=1.0))
    client.push("1", "a.md", "base")
    client.push("2", "a.md", "edited", digest("base"))
    assert client.delete("3", "a.md", digest("base")) == (1, 0)
    assert server.heads(client.source) == {}
    assert [event["type"] for event in client.events()] == ["file.upsert", "file.upsert", "file.delete"]


def test_a_repeat_within_the_window_is_applied_twice() -> None:
    """The same operation id is in two events."""
    _, client, clock = server_and_client(Races(twice=1.0))
    assert client.push("1", "a.md", "text", SENTINEL) == (1, 0)
    assert client.push("1", "a.md", "text", SENTINEL) == (1, 0)
    assert [event["payload"]["operationId"] for event in client.events()] == ["1", "1"]
    clock.now += 1
    assert client.push("1", "a.md", "text", SENTINEL) == (0, 0)


def test_a_skipped_event_is_read_only_by_overlapping_polls() -> None:
    """A poller that goes on from the newest cursor never meets it; one that looks back does, in the end."""
    server, client, clock = server_and_client(Races(seed=2, skip=0.5, hold=5.0))
    for number in range(40):
        client.push(str(number), f"{number}.md", str(number))
    written = {event.cursor for event in server.sources()[0].events}
    first = {event["cursor"] for event in client.events()}
    assert first < written
    assert any(cursor < max(first) for cursor in written - first)
    assert not client.events(max(written))
    clock.now += 6
    assert {event["cursor"] for event in client.events()} == written


def test_a_skipped_event_appears_after_more_reads() -> None:
    """It is late by reads too, so a standing clock does not hide it for ever."""
    server, client, _ = server_and_client(Races(seed=2, skip=0.5))
    for number in range(40):
        client.push(str(number), f"{number}.md", str(number))
    first = {event["cursor"] for event in client.events()}
    behind = {event.cursor for event in server.sources()[0].events if event.cursor < max(first)}
    for _ in range(5):
        seen = {event["cursor"] for event in client.events()}
    assert not behind <= first
    assert behind <= seen


def test_two_opposite_resolutions_are_both_accepted_in_a_race() -> None:
    """The second answers 200 and its side becomes the head; without a chance it answers 404."""
    outcomes = []
    for chance in (0.0, 1.0):
        server, client, _ = server_and_client(Races(resolve=chance))
        client.push("1", "a.md", "head")
        client.push("2", "a.md", "pushed", SENTINEL)
        conflict = client.call("sources/conflicts", sourceId=client.source)[0]["id"]
        body = {"sourceId": client.source, "conflictId": conflict}
        client.call("sources/conflicts/resolve", **body, resolution="keep_local")
        second = client.post("sources/conflicts/resolve", **body, resolution="keep_raven").status_code
        outcomes.append((second, server.heads(client.source)["a.md"]))
    assert outcomes == [(404, "pushed"), (200, "head")]


def raced(seed: int) -> list[tuple[int, int]]:
    """The outcomes of fifty pairs of pushes on one base."""
    _, client, _ = server_and_client(Races(seed=seed, overwrite=0.6))
    outcomes = []
    for number in range(50):
        path = f"{number}.md"
        client.push(f"{number}-0", path, "base")
        client.push(f"{number}-1", path, "one", digest("base"))
        outcomes.append(client.push(f"{number}-2", path, "two", digest("base")))
    return outcomes


def test_races_are_repeatable_by_their_seed() -> None:
    """The same seed races the same way, another one another way, and both about as often as configured."""
    assert raced(1) == raced(1)
    assert raced(1) != raced(2)
    assert 15 < raced(1).count((1, 0)) < 45


def test_ids_are_repeatable_by_their_seed() -> None:
    """Two servers with one seed give the same ids."""
    assert server_and_client(Races(seed=7))[1].source == server_and_client(Races(seed=7))[1].source
    assert server_and_client(Races(seed=7))[1].source != server_and_client(Races(seed=8))[1].source
