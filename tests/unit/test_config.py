"""Homes and settings."""

from __future__ import annotations

import socket
import stat
import tomllib
from pathlib import Path

import pytest

from agent.settings.config_file import load_settings, set_value
from agent.settings.errors import ConfigError
from agent.settings.home import SOCKET_PATH_LIMIT, Home
from agent.settings.owner_only_files import ensure_private, write_atomically
from agent.settings.settings import TABLE, Settings


def home_at(path: Path) -> Home:
    return Home.from_environment({"RAVEN_AGENT_HOME": str(path)})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_pinned_home_keeps_everything_below_one_folder(tmp_path: Path) -> None:
    home = home_at(tmp_path / "h")
    for path in (home.config_file, home.registry_file, home.index_file, home.lock_file, home.hub_dir, home.log_file):
        assert tmp_path / "h" in path.parents
    assert home.pinned


def test_without_a_pinned_home_the_platforms_folders_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    home = Home.from_environment({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert not home.pinned
    assert home.socket == tmp_path / "raven-agent" / "agent.sock"
    assert home.config_dir.name == "raven-agent"


def test_a_long_home_still_gets_a_socket_that_binds(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    one, other = home_at(deep), home_at(deep / "z")
    assert len(str(one.socket).encode()) <= SOCKET_PATH_LIMIT
    assert one.socket != other.socket
    one.create()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(one.socket))
    assert mode(one.socket.parent) == 0o700
    one.socket.unlink()
    one.socket.parent.rmdir()


def test_new_folders_are_private_and_old_ones_keep_their_mode(tmp_path: Path) -> None:
    """FD10: a folder that was there before keeps its mode; the ones that are made are 0700."""
    home = home_at(tmp_path / "h")
    home.state_dir.mkdir(mode=0o755)
    home.create()
    assert mode(home.state_dir) == 0o755
    assert mode(home.log_dir) == 0o700


@pytest.mark.parametrize("open_mode", [0o777, 0o1777, 0o770, 0o722])
def test_a_folder_that_others_can_write_is_refused(tmp_path: Path, open_mode: int) -> None:
    """FD10: it is refused with a sentence, and its mode stays."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(open_mode)
    with pytest.raises(ConfigError, match="others can write"):
        ensure_private(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == open_mode


def test_a_relative_home_is_refused() -> None:
    """A relative RAVEN_AGENT_HOME would be another home in each working directory."""
    with pytest.raises(ConfigError, match="relative"):
        Home.from_environment({"RAVEN_AGENT_HOME": "relative"})


def test_a_file_where_a_folder_is_needed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(ConfigError, match="not a folder"):
        ensure_private(tmp_path / "f")


def test_the_defaults_are_those_of_the_documents(tmp_path: Path) -> None:
    settings = load_settings(home_at(tmp_path), {})
    assert settings == Settings()
    assert (settings.quiet_ms, settings.quiet_max_ms, settings.poll_wait_seconds) == (100, 5000, 25)
    assert (settings.heartbeat_seconds, settings.full_look_minutes) == (30, 60)
    assert (settings.brake_min, settings.brake_percent, settings.brake_total) == (10, 20, 1000)
    assert (settings.trash_days, settings.trash_max_bytes) == (30, 2**30)
    assert (settings.hub_port, settings.hub_token_days, settings.auto_merge) == (8674, 90, False)


def test_every_setting_says_what_it_means() -> None:
    assert all(len(row.meaning) > 10 for row in TABLE.values())


def test_the_environment_stands_over_the_file(tmp_path: Path) -> None:
    home = home_at(tmp_path)
    set_value(home, "log_level", "warning")
    set_value(home, "quiet_ms", "250")
    settings = load_settings(home, {"RAVEN_AGENT_LOG": "DEBUG", "RAVEN_SERVER_URL": "https://r.example"})
    assert (settings.log_level, settings.quiet_ms, settings.server_url) == ("debug", 250, "https://r.example")


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("quite_ms = 5", "unknown setting 'quite_ms'", "quiet_ms"),
        ("quiet_ms = 'a'", "a whole number", None),
        ("quiet_ms = true", "a whole number", None),
        ("auto_merge = 1", "true or false", None),
        ("brake_percent = 200", "between 1 and 100 %", None),
        ("log_level = 'loud'", "one of debug, info", None),
        ('machine_name = "a\\u0007"', "printable characters", None),
        ("machine_name = ' attic'", "without spaces at its ends", None),
        (f"machine_name = '{'x' * 65}'", "1 to 64", None),
        ("quiet_ms = ", "not valid TOML", None),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(
    tmp_path: Path, text: str, says: str, hint: str | None
) -> None:
    home = home_at(tmp_path)
    home.config_file.write_text(text)
    with pytest.raises(ConfigError, match=says) as refused:
        load_settings(home, {})
    if hint:
        assert refused.value.hint is not None
        assert hint in refused.value.hint


def test_setting_a_value_keeps_comments_and_the_rest(tmp_path: Path) -> None:
    home = home_at(tmp_path)
    home.config_file.write_text("# mine\nquiet_ms = 7 # short\nauto_merge = true\n")
    set_value(home, "quiet_ms", "8")
    text = home.config_file.read_text()
    assert "# mine" in text
    assert "# short" in text
    assert load_settings(home, {}).quiet_ms == 8
    assert load_settings(home, {}).auto_merge is True


def test_a_new_file_says_everything_and_sets_what_was_asked(tmp_path: Path) -> None:
    """Every setting stands there as a comment with its meaning; the one that was set takes its comment's place."""
    home = home_at(tmp_path)
    set_value(home, "quiet_ms", "250")
    text = home.config_file.read_text()
    assert tomllib.loads(text) == {"quiet_ms": 250}
    for name, setting in TABLE.items():
        assert setting.meaning[1:] in text
        assert (f"\n# {name} = " in text) == (name != "quiet_ms")
    set_value(home, "quiet_ms", "300")
    assert tomllib.loads(home.config_file.read_text()) == {"quiet_ms": 300}


def test_a_setting_is_never_written_into_a_preceding_table(tmp_path: Path) -> None:
    """Declared tables and their comments stay as they are, below the settings."""
    home = home_at(tmp_path)
    tables = '# the house\n[[server]]\nurl = "https://r.example" # ours\n'
    home.config_file.write_text(tables)
    set_value(home, "quiet_ms", "8")
    text = home.config_file.read_text()
    assert tomllib.loads(text) == {"quiet_ms": 8, "server": [{"url": "https://r.example"}]}
    assert text.endswith(tables)


def test_the_system_s_files_stand_under_the_person_s(tmp_path: Path) -> None:
    """``config.toml``, then ``conf.d`` by name, then the person's own."""
    home = Home.from_environment({"RAVEN_AGENT_HOME": str(tmp_path / "h"), "RAVEN_AGENT_ETC": str(tmp_path / "etc")})
    home.create()
    (home.system_dir / "conf.d").mkdir(parents=True)
    for file, text in {
        "config.toml": "quiet_ms = 1\ntrash_days = 1\nbrake_min = 1\nbrake_total = 1",
        "conf.d/10.toml": "trash_days = 2\nbrake_min = 2\nbrake_total = 2",
        "conf.d/20.toml": "brake_min = 3\nbrake_total = 3",
        "conf.d/30.toml.bak": "brake_min = 99",
    }.items():
        (home.system_dir / file).write_text(text)
    home.config_file.write_text("brake_total = 4")
    settings = load_settings(home, {})
    assert (settings.quiet_ms, settings.trash_days, settings.brake_min, settings.brake_total) == (1, 2, 3, 4)
    (home.system_dir / "conf.d/20.toml").write_text("brake_mix = 3")
    with pytest.raises(ConfigError, match=r"brake_mix.*20\.toml"):
        load_settings(home, {})


def test_a_bad_value_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    home = home_at(tmp_path)
    set_value(home, "quiet_ms", "8")
    before = home.config_file.read_bytes()
    with pytest.raises(ConfigError):
        set_value(home, "brake_percent", "0")
    assert home.config_file.read_bytes() == before


def test_a_config_file_that_is_a_link_stays_a_link(tmp_path: Path) -> None:
    home = home_at(tmp_path / "h")
    home.create()
    real = tmp_path / "dotfiles.toml"
    real.write_text("")
    home.config_file.symlink_to(real)
    set_value(home, "quiet_ms", "8")
    assert home.config_file.is_symlink()
    assert "quiet_ms = 8" in real.read_text()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "f"
    write_atomically(target, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agent.settings.owner_only_files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
