"""What is built once for all tests of the packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import debian


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout all packages of this run are built from."""
    return debian.snapshot(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def package(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package of this checkout."""
    reason = debian.missing()
    if reason is not None:
        pytest.skip(reason)
    return debian.build(source, tmp_path_factory.mktemp("deb"), "deb")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A fresh Debian."""
    reason = debian.missing()
    if reason is not None:
        pytest.skip(reason)
    with debian.removed_afterwards(debian.fresh(tmp_path / "root")) as made:
        yield made
