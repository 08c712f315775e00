"""The strict server answers every recorded call as the real server did."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from strict_raven import USER, WORKSPACE, StrictRaven, token
from support.transcript import LEFT_OUT, Credentials, Replay, Replayed, load


def credentials() -> Credentials:
    """Tokens of the strict server, good and bad."""
    elsewhere = "33333333-3333-4333-8333-333333333333"
    return Credentials(
        workspace=WORKSPACE,
        good=token(),
        expired=token(expires=1.0),
        collab=token(kind="collab"),
        other_workspace=token(USER, elsewhere),
        unknown_user=token("44444444-4444-4444-8444-444444444444"),
    )


def replayed() -> tuple[Replay, list[Replayed]]:
    """The whole recording, replayed against a fresh strict server."""
    server = StrictRaven()

    def send(
        method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        response = server.handle(method, path, headers, body or b"")
        return response.status, response.headers, response.body

    replay = Replay(send, credentials())
    return replay, list(replay.run())


@pytest.fixture(scope="module")
def run() -> tuple[Replay, list[Replayed]]:
    """One replay for all claims."""
    return replayed()


def test_every_recorded_call_is_answered_as_recorded(run: tuple[Replay, list[Replayed]]) -> None:
    """Status, keys, types, texts, hashes and counts are those of the real server."""
    different = [(one.call.index, one.call.name, one.differences) for one in run[1] if one.differences]
    assert different == []


def test_nothing_is_left_out_silently(run: tuple[Replay, list[Replayed]]) -> None:
    """All 294 recorded calls are replayed but those named here."""
    assert dict(LEFT_OUT) == {
        "bodylimit/20MiB": "the connection was reset before an answer, so there is none to compare with"
    }
    assert len(load()) == 294
    sent = {one.call.index for one in run[1]}
    assert [call.name for call in load() if call.index not in sent] == list(LEFT_OUT)


def test_cursors_equal_the_recorded_ones_without_gaps(run: tuple[Replay, list[Replayed]]) -> None:
    """Up to 178 nothing else wrote to the real server, and its global sequence is reproduced number by number."""
    met = {pair for source in run[0].names.cursors.values() for pair in source.items() if pair[0] <= 178}
    assert len(met) > 60
    assert all(recorded == live for recorded, live in met)


def test_later_cursors_keep_their_distance_within_a_source(run: tuple[Replay, list[Replayed]]) -> None:
    """Two events of a source are as far apart as recorded, if no other source's event came between."""
    source = run[0].names.cursors["01a1fd6d-2cee-752b-a707-12dbb29704c3"]
    assert {recorded - live for recorded, live in source.items()} == {min(source) - source[min(source)]}


def test_a_wrong_answer_is_noticed() -> None:
    """A replay against a server that claims one applied item too many reports where."""
    server = StrictRaven()

    def send(
        method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        response = server.handle(method, path, headers, body or b"")
        return response.status, response.headers, response.body.replace(b'"applied":0', b'"applied":1')

    wrong = [one for one in Replay(send, credentials()).run() if one.differences]
    assert {difference.where for one in wrong for difference in one.differences} == {"data.applied"}
    assert "push/same-opid-again-same" in {one.call.name for one in wrong}
