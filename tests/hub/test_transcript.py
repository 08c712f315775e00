"""The hub answers the recorded calls as the real server did, or safer, and every difference is named here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import jwt
import pytest

from agent.hub.auth import JwtTokens
from agent.hub.raven.endpoints import Hub
from agent.hub.store.sql_store import SqlStore
from hub.fixtures import SECRET, STRANGER, UNKNOWN, USER, WORKSPACE, token
from support.transcript import ABSENT, LEFT_OUT, Credentials, Difference, Replayed, load, replay

WORKSPACE_HEADER = "x-workspace-id is required and must be the token's"
NO_USERS = "FU7: the hub has no user table: a token signed with its secret is valid for any user id"
NO_COOKIES = "the token comes in the Authorization header only; cookies are not looked at"
NO_500 = "400 with a clear message, or a rejected item, where the real server answers 500"
BAD_ITEM = "an unsafe path or a wrong hash is one rejected item; the others commit together"
NO_BASE = "no base and an existing file with other content is a conflict, a delete without a base too"
REAL_BASE = "a real base on an absent path is a conflict"
EQUAL = "equal content is applied as a no-op whatever the base"
KEPT = "history and open conflicts are kept after a delete"
HEAD = "keep_raven keeps the head, keep_local of a delete deletes, empty merges are allowed"
MODES = "the text of a wrong choice lists the choices"
NAMED = "a conflict opened by a push that expected no file has the reason no_base"
ON_CHANGE = "pausing and resuming add an event only on a change"
LAST_CURSOR = "lastRemoteCursor is the source's newest cursor: reading the feed writes nothing"
FOLLOWS = "shows what one of the calls above left behind"

ADDED = {
    "data.items": "item results",
    "data.firstCursor": "where the items' events stand",
    "data.capabilities": "capabilities",
}
"""Fields the hub adds; they are no difference to a client that does not look for them."""

DIFFERENT: dict[str, frozenset[int]] = {
    WORKSPACE_HEADER: frozenset({7, 8}),
    NO_USERS: frozenset({6}),
    NO_COOKIES: frozenset({9, 10}),
    NO_500: frozenset({31, 32, 33, 102, 103, 104, 108, 112, 114, 116, 117, 137, 138, 210, 229, 232, 236, 237, 252}),
    MODES: frozenset({42, 43, 173}),
    BAD_ITEM: frozenset({111, 119, *range(125, 137), 143}),
    EQUAL: frozenset({159}),
    NO_BASE: frozenset({165, 166, 188}),
    NAMED: frozenset({286}),
    REAL_BASE: frozenset({167, 194, 281}),
    HEAD: frozenset({175, 193, 265}),
    KEPT: frozenset({195, 200, 278}),
    ON_CHANGE: frozenset({218, 224}),
    LAST_CURSOR: frozenset({213, 214, 234, 290}),
    FOLLOWS: frozenset(
        {113, 115, 120, 148}  # the files of refused items
        | {160, 164, 168, 169, 176, 177, 178, 182, 183, 276}  # conflicts and heads after equal content and no base
        | {190, 191, 198, 201, 288}  # conflicts that a delete or a push without a base opened or kept
    ),
}
"""Reason of a different answer -> the calls, by index."""


@pytest.fixture(scope="module")
def replayed() -> Iterator[list[Replayed]]:
    """The whole recording, replayed against a fresh hub."""
    store = SqlStore("sqlite://")
    hub = Hub(store, tokens=JwtTokens(SECRET))

    def claims(**changes: object) -> str:
        good = {"sub": USER, "workspaceId": WORKSPACE, "type": "access", "exp": 2**40}
        return jwt.encode(good | changes, SECRET, algorithm="HS256")

    credentials = Credentials(
        workspace=WORKSPACE,
        good=token(),
        expired=claims(exp=1),
        collab=claims(type="collab"),
        other_workspace=claims(workspaceId=STRANGER),
        unknown_user=claims(sub=UNKNOWN),
    )

    def send(
        method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        answer = hub.handle(method, path, headers, body or b"")
        return answer.status, answer.headers, answer.read()

    yield list(replay(send, credentials))
    store.close()


def test_every_difference_to_the_real_server_is_meant(replayed: list[Replayed]) -> None:
    """A call that differs stands in the table with its reason, and one that stands there does differ."""
    different = {one.call.index for one in replayed if any(not _added(d) for d in one.differences)}
    assert sorted(different) == sorted(index for calls in DIFFERENT.values() for index in calls)


def test_a_user_the_hub_never_saw_is_served(replayed: list[Replayed]) -> None:
    """FU7: 200 for a signed token of an unknown user where the real server says 401, and operators are told so."""
    [call] = [one for one in replayed if one.call.index in DIFFERENT[NO_USERS]]
    assert (call.call.status, call.status) == (401, 200)
    operations = Path(__file__).parents[2] / "docs/operations.md"
    told = " ".join(operations.read_text("utf-8").split())
    assert "The hub has no table of users." in told and "the real server answers 401 then" in told


def test_fields_are_only_added(replayed: list[Replayed]) -> None:
    """Item results on every push and capabilities on every registration and heartbeat, nothing else."""
    for one in replayed:
        if one.status == one.call.status == 200 and "push-batch" in one.call.path:
            assert any(d.where == "data.items" for d in one.differences), one.call.name


def test_the_hub_never_answers_500(replayed: list[Replayed]) -> None:
    """Also where the real server does."""
    assert len(replayed) == len(load()) - len(LEFT_OUT)
    assert {one.status for one in replayed} == {200, 400, 401, 404, 413}


def _added(difference: Difference) -> bool:
    return difference.where in ADDED and difference.expected is ABSENT
