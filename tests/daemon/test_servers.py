"""The state of servers, as ``servers`` and ``status`` show it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import Home
from support.servers import StrictServer


@pytest.fixture
def strict() -> Iterator[StrictServer]:
    """A server with a switch."""
    with StrictServer.serving() as server:
        yield server


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("linked", [False, True])
def test_fs4_servers_never_says_ok_for_a_dead_one(
    tmp_path: Path, strict: StrictServer, daemon: bool, linked: bool
) -> None:
    """FS4: with and without an agent, with and without a folder; name, address and cause are in its message."""
    home = Home(tmp_path)
    home.login(strict)
    if linked:
        home.write("a.md", "one\n")
        home.link()
    with home.daemon() if daemon else contextlib.nullcontext():
        assert home.json("servers")[0]["state"] == "ok"
        strict.down()
        (row,) = home.json("servers")
        sentence = f"raven ({strict.url}) cannot be reached: connection refused"
        assert (row["state"], row["message"]) == ("offline", sentence)
        strict.up()
        assert home.json("servers")[0]["state"] == "ok"


def test_fs4_offline_commands_name_the_server(tmp_path: Path, strict: StrictServer) -> None:
    """FS4: history, sync, sources, restore and status."""
    home = Home(tmp_path)
    home.login(strict)
    home.write("a.md", "one\n")
    home.link()
    assert home.run("sync").code == 0
    strict.down()
    sentence = f"raven ({strict.url}) cannot be reached: connection refused"
    for arguments in (
        ["history", home.folder / "a.md"],
        ["sync"],
        ["sources"],
        ["restore", home.folder / "a.md", "--version", "0" * 64],
        ["status"],
        ["servers"],
    ):
        ran = home.run(*arguments)
        assert sentence in ran.out + ran.err, (arguments, ran)
        assert ran.code == 5 or arguments in (["servers"], ["status"]), (arguments, ran)
