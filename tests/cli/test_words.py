"""Numbers, times and names."""

from __future__ import annotations

import base64
import datetime as dt
import os
import time
from pathlib import Path

import pytest

from agent.cli import render
from agent.cli.humanize import (
    ago,
    file_path,
    folder_path,
    moment,
    parse_duration,
    path_params,
    printable,
    seconds_words,
    size_words,
    typed_path,
)
from agent.cli.output import Grid, TextLine
from agent.core.errors import UsageError
from agent.core.humanize import CONFLICT_KINDS, clock_after
from agent.core.model import ConflictKind
from cli import documents


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30s", 30), ("10m", 600), ("1h30m", 5400), ("2d", 172_800), ("1w", 604_800), ("1.5h", 5400)],
)
def test_a_length_of_time_is_understood(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "10x", "m", "1h 30m", "1..5h", "inf", "²", "999999999d"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"length of time|hundred years"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", "2026-03-05T10:00:00+00:00"),
        ("2h ago", "2026-03-05T10:00:00+00:00"),
        ("9:30", "2026-03-05T09:30:00+00:00"),
        ("9:30:05", "2026-03-05T09:30:05+00:00"),
        ("10:30:59", "2026-03-05T10:30:59+00:00"),
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
        ("2026-03-01 14:30", "2026-03-01T14:30:00+00:00"),
        ("2026-03-01T14:30:00.5Z", "2026-03-01T14:30:00.500000+00:00"),
        ("2026-03-01T14:30:00+02:00", "2026-03-01T12:30:00+00:00"),
    ],
)
def test_a_past_time_is_understood(text: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time without a zone is local."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    now = dt.datetime(2026, 3, 5, 12, tzinfo=dt.UTC)
    assert moment(text, now).astimezone(dt.UTC).isoformat() == expected


@pytest.mark.parametrize(
    ("begins", "asked", "shown"),
    [
        ("2026-03-05T01:27:56.200Z", "2026-03-05T01:27:00Z", "2026-03-05 01:27:57"),
        ("2026-03-05T01:27:56Z", "2026-03-05T01:27:00Z", "2026-03-05 01:27:56"),
        ("2026-03-05T01:27:59.5Z", "2026-03-05T01:27:59Z", "2026-03-05 01:28:00"),
        ("2026-03-05T01:27:56Z", "2026-03-05T01:26:59Z", "2026-03-05 01:27"),
    ],
)
def test_a_later_time_reads_as_a_later_one(
    begins: str, asked: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal that names the very minute that was typed is no answer."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert clock_after(begins, asked) == shown


@pytest.mark.parametrize("text", ["", "5", "9:30:60", "noon", "25:00", "2026-13-01", "13:00", "2027-01-01"])
def test_a_time_that_is_none_or_to_come_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with pytest.raises(UsageError, match=r"not a time|to come"):
        moment(text, dt.datetime(2026, 3, 5, 12, tzinfo=dt.UTC))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain ü 文", "plain ü 文"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("a\nb", "a\\nb"),
        ("cod\u202egpj.md", "cod\\u202egpj.md"),
        (os.fsdecode(b"a\xff"), "a\\udcff"),
    ],
)
def test_no_name_can_steer_the_terminal(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_a_folder_is_named_without_links_and_a_file_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is named without links and a file keeps its own."""
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    (real / "l.md").symlink_to("elsewhere.md")
    monkeypatch.chdir(tmp_path)
    assert folder_path("link") == str(real)
    assert file_path("link/l.md") == str(real / "l.md")
    assert file_path("link/gone/x.md") == str(real / "gone" / "x.md")
    assert file_path("link/..") == str(tmp_path)
    assert file_path(".") == str(tmp_path)


def test_links_in_a_loop_are_a_path_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    assert folder_path("loop") == file_path("loop") == str(tmp_path / "loop")
    assert file_path("loop/x.md") == str(tmp_path / "loop" / "x.md")


@pytest.mark.parametrize(
    ("shown", "typed"), [("/n/a b", "'/n/a b'"), ("~/a b", "~/'a b'"), ("~/ab", "~/ab"), ("~", "~")]
)
def test_a_path_in_a_command_is_quoted_for_the_shell(monkeypatch: pytest.MonkeyPatch, shown: str, typed: str) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert typed_path(shown.replace("~", "/home/ada")) == typed


def test_a_name_that_is_not_utf8_travels_with_its_bytes() -> None:
    raw = b"/n/a\xff.md"
    params = path_params("path", os.fsdecode(raw))
    assert params["path"] == "/n/a\ufffd.md"
    assert base64.b64decode(params["path_base64"]) == raw
    assert path_params("path", "/n/ü.md") == {"path": "/n/ü.md"}


def test_sizes_and_times_read_well() -> None:
    assert [size_words(n) for n in (0, 1023, 1536, 5 << 20, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 MiB",
        "3.0 TiB",
    ]
    assert [seconds_words(n) for n in (0.2, 59, 61, 7500, 90_000 * 2)] == ["0 s", "59 s", "1 min", "2 h 5 min", "2 d"]
    now = dt.datetime(2026, 3, 1, 12, 1, tzinfo=dt.UTC)
    assert ago("2026-03-01T12:00:30Z", now) == "30 s ago"
    assert ago(None, now) == "never"


@pytest.mark.parametrize("kind", [kind.value for kind in ConflictKind])
def test_a_kind_of_conflict_is_said_in_words(kind: str) -> None:
    """In the list and above the texts: what differs, without the word for a common version."""
    view = [*render.conflicts([documents.conflict(kind=kind)]), *render.diff(documents.conflict(kind=kind))]
    cells = [cell for block in view if isinstance(block, Grid) for row in block.rows for cell in row]
    lines = [block.text for block in view if isinstance(block, TextLine)]
    assert CONFLICT_KINDS[kind] in cells and f"7.2  a.md  ({CONFLICT_KINDS[kind]})" in lines
    assert "base" not in CONFLICT_KINDS[kind] and "against" not in CONFLICT_KINDS[kind]
