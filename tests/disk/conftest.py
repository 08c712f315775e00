"""Fixtures of the disk tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from disk.fixtures import Room, open_room


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def room(folder: Path, state: Path) -> Iterator[Room]:
    opened = open_room(folder, state)
    yield opened
    opened.close()
