"""Which installed distributions bring a package of a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.doctor.machine import _owners

FILES = {
    "RECORD": "agent/__init__.py,sha256=x,1\nagent/data.txt,,\nother.py,,\n",
    "top_level.txt": "agent\nother\n",
}


@pytest.mark.parametrize("listing", FILES)
@pytest.mark.parametrize("name, brings", [("agent", True), ("other", True), ("age", False), ("data", False)])
def test_a_distribution_owns_what_its_files_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listing: str, name: str, brings: bool
) -> None:
    """By the record of its files, or by the list of packages that older tools write."""
    made = tmp_path / "stranger-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (made / listing).write_text(FILES[listing])
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert [*_owners(name)] == (["stranger"] if brings else [])


def test_a_folder_without_python_code_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents may be installed into a folder of any name."""
    made = tmp_path / "stranger-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (made / "RECORD").write_text("agent/readme.txt,,\nelse.py,,\n")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert [*_owners("agent")] == []
