"""The guides for a team with a hub, and for servers that exist already."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from strict_pinakes.__main__ import made as made_pinakes
from strict_pinakes.state import PinTraps
from strict_raven.serve import serving
from strict_scaidrive.__main__ import made as made_drive
from strict_scaidrive.__main__ import one_at_a_time
from strict_scaidrive.state import DriveTraps
from support.servers import StrictServer
from transcripts.guides import GUIDES, Hosts, hold, sections
from transcripts.hub_service import HubService

SERVERS = GUIDES / "servers.md"
FILES = {
    "ideas.md": b"# Ideas\n",
    "sketch.png": b"\x89PNG\r\n\0",
    "archive/old.md": b"# Old\n",
}


@pytest.mark.long
def test_a_team_shares_a_hub(tmp_path: Path) -> None:
    """Two people of one workspace; the administrator looks after tokens, limits and a backup."""
    with HubService(tmp_path / "data", "team") as service:
        words = {"/srv/hub": str(service.data)}
        acts = {"systemctl start raven-hub": lambda: None}
        with Hosts(tmp_path, service.url, service.token, words, acts).machines("server", "ada", "bob") as machines:
            hold(GUIDES / "team.md", "", *machines)


@contextmanager
def raven(strict: StrictServer) -> Iterator[tuple[str, str]]:
    """Address and token of the strict server."""
    yield strict.url, strict.token


@contextmanager
def scaidrive(_strict: StrictServer) -> Iterator[tuple[str, str]]:
    """Address and refresh token of a strict ScaiDrive server."""
    _, api = made_drive(time.time, DriveTraps())
    with serving(one_at_a_time(api.handle)) as url:
        yield url, api.accounts.new_tokens()["refresh_token"]


@contextmanager
def pinakes(_strict: StrictServer) -> Iterator[tuple[str, str]]:
    """Address and session of a strict Pinakes server."""
    server, api = made_pinakes(time.time, PinTraps())
    with serving(one_at_a_time(api.handle)) as url:
        yield url, server.log_in()


KINDS = {
    "Raven": (raven, "https://raven.example"),
    "ScaiDrive": (scaidrive, "https://drive.example"),
    "Pinakes": (pinakes, "https://media.example"),
}


def test_each_server_of_the_guide_is_played() -> None:
    """The guide has the servers that the next test starts, and no other."""
    assert list(sections(SERVERS.read_text("utf-8"))) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_linked_with_a_server(kind: str, tmp_path: Path, strict: StrictServer) -> None:
    """Each dialect, on its strict server."""
    serve, address = KINDS[kind]
    with serve(strict) as (url, token), Hosts(tmp_path, url, token, address=address).machines("ada") as (ada,):
        for path, content in FILES.items():
            file = ada.home / "notes" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        hold(SERVERS, kind, ada)
