"""Machines that an administrator declares things for, and the servers they use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.fixtures import shared_hub as shared_hub
from support.fixtures import strict as strict
from support.processes import Home
from support.servers import Server

Declare = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A machine nobody has set up."""
    return Home(tmp_path, "one")


def declare(home: Home, text: str, name: str = "10-fleet.toml") -> Path:
    """Put a file into the administrator's ``conf.d``."""
    file = home.etc / "conf.d" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def token_file(home: Home, server: Server, text: str | None = None) -> Path:
    """The account's token where the administrator put it, private."""
    file = home.etc / "raven.token"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(server.token if text is None else text)
    return file


def account(server: Server, **more: str) -> str:
    """The table that declares the account ``work`` with its token beside the configuration."""
    said = {"name": "work", "url": server.url, "workspace": server.workspace, "token_file": "../raven.token", **more}
    return "[[server]]\n" + "".join(f'{key} = "{value}"\n' for key, value in said.items())


def source(folder: Path, **more: str) -> str:
    """The table that declares a folder."""
    said = {"root": str(folder), **more}
    return "\n[[source]]\n" + "".join(f'{key} = "{value}"\n' for key, value in said.items())
