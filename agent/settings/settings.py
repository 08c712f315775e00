"""Where the agent keeps its things, and the settings a person may change.

``Home`` names every folder and file; ``Settings`` is one frozen record made from the defaults, the system's files, the
person's ``config.toml`` and the environment, in that order. The fields of ``Settings`` carry their own meaning, unit
and limits, so that the command line and the docs read the same table.

What only some commands need is imported where it is used: every command reads this module before it answers.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from agent.settings.owner_only_files import ConfigError, ensure_private, private, write_atomically

__all__ = [
    "APP",
    "DECLARED",
    "SYSTEM_DIR",
    "TABLE",
    "ConfigError",
    "Home",
    "Setting",
    "Settings",
    "Value",
    "config_files",
    "ensure_private",
    "file_values",
    "load_settings",
    "parse_setting",
    "private",
    "read_files",
    "set_value",
    "write_atomically",
]

SOCKET_PATH_LIMIT: Final = 100
"""Bytes a socket's path may have; the systems stop at 104 (macOS) and 108 (Linux) with the closing NUL."""

APP: Final = "raven-agent"

SYSTEM_DIR: Final = Path("/etc/raven-agent")
"""What holds for every person on this machine."""

DECLARED: Final = ("server", "source")
"""Tables of the configuration files that are not settings; ``agent.settings.declarations`` reads them."""

Value = int | str | bool

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Home:
    """Every folder and file of one agent.

    Attributes:
        config_dir: holds ``config.toml``.
        state_dir: holds the registry, the index, the lock and the embedded hub.
        log_dir: holds the rotating log.
        socket: the control socket; short enough for the system to bind it.
        pinned: the folder was chosen by ``RAVEN_AGENT_HOME``, so nothing outside it may be touched (no keyring).
        system_dir: holds the administrator's ``config.toml`` and ``conf.d``; only ever read.
    """

    config_dir: Path
    state_dir: Path
    log_dir: Path
    socket: Path
    pinned: bool
    system_dir: Path = SYSTEM_DIR

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> Home:
        """The home ``RAVEN_AGENT_HOME`` names, else the platform's own folders. Creates nothing."""
        env = os.environ if env is None else env
        chosen = env.get("RAVEN_AGENT_HOME")
        system = Path(env.get("RAVEN_AGENT_ETC") or SYSTEM_DIR).absolute()
        if chosen:
            top = Path(chosen).expanduser().absolute()
            return cls(top, top, top / "logs", _socket(top, top / "agent.sock", env), pinned=True, system_dir=system)
        from platformdirs import PlatformDirs

        dirs = PlatformDirs(APP, appauthor=False)
        state = dirs.user_state_path
        runtime = env.get("XDG_RUNTIME_DIR")
        wanted = Path(runtime) / APP / "agent.sock" if runtime else state / "agent.sock"
        socket = _socket(state, wanted, env)
        return cls(dirs.user_config_path, state, dirs.user_log_path, socket, pinned=False, system_dir=system)

    @property
    def config_file(self) -> Path:
        """The settings, written by a person."""
        return self.config_dir / "config.toml"

    @property
    def registry_file(self) -> Path:
        """Accounts and links, written by the agent."""
        return self.state_dir / "registry.json"

    @property
    def index_file(self) -> Path:
        """The SQLite index; may be lost without losing a link."""
        return self.state_dir / "index.sqlite"

    @property
    def generation_file(self) -> Path:
        """How often the index was put to work, written down beside it."""
        return self.state_dir / "index.generation"

    @property
    def lock_file(self) -> Path:
        """Names the pid and the socket of the agent that holds this home."""
        return self.state_dir / "agent.lock"

    @property
    def credentials_file(self) -> Path:
        """Tokens, where no keyring is used; 0600."""
        return self.state_dir / "credentials.json"

    @property
    def hub_dir(self) -> Path:
        """Data of the embedded hub."""
        return self.state_dir / "hub"

    @property
    def log_file(self) -> Path:
        """The newest log; older ones stand beside it with a number."""
        return self.log_dir / "agent.log"

    def create(self) -> None:
        """Make every folder, 0700.

        Raises:
            ConfigError: a folder cannot be made, is not a folder, or belongs to somebody else.
        """
        for folder in (self.config_dir, self.state_dir, self.log_dir, self.socket.parent):
            ensure_private(folder)


def _socket(state: Path, wanted: Path, env: Mapping[str, str]) -> Path:
    if len(os.fsencode(wanted)) <= SOCKET_PATH_LIMIT:
        return wanted
    import hashlib
    import tempfile

    digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    base = env.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(base) / f"{APP}-{os.getuid()}-{digest}" / "agent.sock"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the settings table.

    Attributes:
        name: the key in ``config.toml``.
        default: what holds when it is not set.
        unit: of the number; empty for words.
        meaning: one sentence.
        least, most: limits of a number, inclusive.
        choices: the words allowed; empty means any.
        variable: the environment variable that overrides the file.
    """

    name: str
    default: Value
    unit: str
    meaning: str
    least: int = 0
    most: int = 2**53
    choices: tuple[str, ...] = ()
    variable: str | None = None


def _setting(default: T, unit: str, meaning: str, **limits: Any) -> T:
    return field(default=default, metadata={"unit": unit, "meaning": meaning, **limits})


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person may change. Each field's meaning, unit and limits stand in ``TABLE``."""

    quiet_ms: int = _setting(100, "ms", "how long a changed file must be quiet before it is looked at", most=60_000)
    quiet_max_ms: int = _setting(5000, "ms", "longest wait for a file that keeps changing", most=600_000)
    poll_wait_seconds: int = _setting(25, "s", "length of a long poll, where the server offers it", most=300)
    poll_min_seconds: int = _setting(1, "s", "time between polls right after activity", least=1, most=3600)
    poll_max_seconds: int = _setting(5, "s", "time between polls a while after activity", least=1, most=3600)
    poll_idle_seconds: int = _setting(30, "s", "time between polls of an idle source", least=1, most=86_400)
    poll_idle_after_minutes: int = _setting(10, "min", "a source without changes for this long is idle", least=1)
    heartbeat_seconds: int = _setting(30, "s", "time between two signs of life to the server", least=5, most=3600)
    full_look_minutes: int = _setting(60, "min", "time between full looks at the folder, give or take 10 %", least=1)
    brake_min: int = _setting(10, "files", "fewer deletes than this at once are never held", least=1)
    brake_percent: int = _setting(20, "%", "deletes of more than this share of a source are held", least=1, most=100)
    brake_total: int = _setting(1000, "files", "this many deletes at once are held whatever the share", least=1)
    brake_window_minutes: int = _setting(60, "min", "deletes within this time count together", least=1, most=10_080)
    trash_days: int = _setting(30, "days", "how long replaced and removed files are kept", least=1)
    trash_max_bytes: int = _setting(1 << 30, "bytes", "above this size the oldest go early")
    hub_port: int = _setting(8674, "", "port of the embedded hub; another free one if it is taken", most=65_535)
    hub_token_days: int = _setting(90, "days", "how long a token of the embedded hub is good for", least=1, most=3650)
    auto_merge: bool = _setting(default=False, unit="", meaning="merge clean three-way merges without asking")
    notifications: bool = _setting(
        default=True,
        unit="",
        meaning="show new conflicts, a halt and a sign-out on the desktop",
        variable="RAVEN_AGENT_NOTIFICATIONS",
    )
    log_level: str = _setting(
        "info",
        "",
        "how much the program's log says",
        choices=("debug", "info", "warning", "error"),
        variable="RAVEN_AGENT_LOG",
    )
    log_format: str = _setting("text", "", "form of a log line", choices=("text", "json"))
    credentials: str = _setting(
        "auto",
        "",
        "where tokens are kept: the keyring if there is one, or a 0600 file",
        choices=("auto", "keyring", "file"),
    )
    ca_file: str = _setting("", "", "certificates to trust besides the system's (PEM file)")
    server_url: str = _setting("", "", "a server account besides those logged in to", variable="RAVEN_SERVER_URL")
    workspace: str = _setting("", "", "workspace of that account", variable="RAVEN_WORKSPACE")


TABLE: Final[Mapping[str, Setting]] = {
    f.name: Setting(f.name, cast("Value", f.default), **f.metadata) for f in dataclasses.fields(Settings)
}


def parse_setting(name: str, text: str) -> Value:
    """The value ``text`` stands for, by the setting's own type.

    Raises:
        ConfigError: unknown name, or a value outside its limits.
    """
    setting = _known(name)
    if isinstance(setting.default, bool):
        words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        if text.lower() not in words:
            raise ConfigError(f"{name} is true or false, not {text!r}")
        return words[text.lower()]
    if isinstance(setting.default, int):
        try:
            return _checked(setting, int(text.replace("_", "")))
        except ValueError:
            raise ConfigError(f"{name} is a whole number, not {text!r}") from None
    return _checked(setting, text)


def load_settings(home: Home, env: Mapping[str, str] | None = None) -> Settings:
    """Defaults, then the system's files, then ``config.toml``, then the environment.

    Raises:
        ConfigError: a file cannot be read, a key is unknown, or a value is of the wrong kind; the message names it.
    """
    env = os.environ if env is None else env
    values: dict[str, Any] = {name: value for name, (value, _) in file_values(home).items()}
    for setting in TABLE.values():
        if setting.variable and env.get(setting.variable):
            values[setting.name] = parse_setting(setting.name, _folded(setting, env[setting.variable]))
    return Settings(**values)


def file_values(home: Home) -> dict[str, tuple[Value, Path]]:
    """What the files set, checked, each with the file that decides.

    Raises:
        ConfigError: as ``load_settings``.
    """
    values: dict[str, tuple[Value, Path]] = {}
    for path, content in read_files(home):
        for name, value in content.items():
            if name not in DECLARED:
                values[name] = (_checked(_known(name, path), value, path), path)
    return values


def config_files(home: Home) -> list[Path]:
    """The files that are there, a later one over an earlier: the system's ``config.toml``, its ``conf.d/*.toml`` by
    name, the person's ``config.toml``.

    Raises:
        ConfigError: a folder is there and cannot be looked into.
    """
    folder = home.system_dir / "conf.d"
    try:
        parts = sorted(path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        parts = []
    except OSError as error:
        # Never taken for an empty folder: everything declared there would be unlinked.
        raise ConfigError(f"cannot read {folder}: {error.strerror}", f"chmod a+rx {folder}") from error
    files = [home.system_dir / "config.toml", *parts, home.config_file]
    return [path for path in files if _exists(path)]


def _exists(path: Path) -> bool:
    try:
        # A link that leads nowhere is there as well: somebody meant it to be read.
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", f"may this user read {path.parent}?") from error
    return True


def read_files(home: Home) -> list[tuple[Path, dict[str, Any]]]:
    """Every configuration file with its content, in the order in which they count.

    Raises:
        ConfigError: one cannot be read, or is not TOML.
    """
    return [(path, _parsed(path)) for path in config_files(home)]


def _parsed(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", f"mend {path}, then: {APP} config check") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def set_value(home: Home, name: str, text: str) -> Value:
    """Write one setting into ``config.toml``, keeping comments and order; returns the value.

    Raises:
        ConfigError: unknown name, bad value, or a file that cannot be read or written.
    """
    value = parse_setting(name, text)
    file_values(home)
    from agent.settings.config_file import with_value

    home.create()
    try:
        before = home.config_file.read_text("utf-8") if home.config_file.exists() else None
        # Through a link, so that a config.toml kept among somebody's dotfiles stays one.
        write_atomically(home.config_file.resolve(), with_value(before, name, value).encode())
    except OSError as error:
        raise ConfigError(f"cannot write {home.config_file}: {error.strerror}") from error
    return value


def _known(name: str, where: Path | None = None) -> Setting:
    if name in TABLE:
        return TABLE[name]
    import difflib

    # A declared table is a key of the file, and no setting that a command reads or writes.
    near = difflib.get_close_matches(name, TABLE if where is None else (*TABLE, *DECLARED), n=1, cutoff=0.4)
    place = f" in {where}" if where else ""
    hint = f"did you mean {near[0]!r}?" if near else f"{APP} config get lists the settings"
    raise ConfigError(f"unknown setting {name!r}{place}", hint)


def _checked(setting: Setting, value: object, where: Path | None = None) -> Value:
    place = f" (in {where})" if where else ""
    if type(value) is not type(setting.default):
        kinds = {bool: "true or false", int: "a whole number", str: "text in quotes"}
        raise ConfigError(f"{setting.name} is {kinds[type(setting.default)]}, not {value!r}{place}")
    if isinstance(value, int) and not isinstance(value, bool) and not setting.least <= value <= setting.most:
        unit = f" {setting.unit}" if setting.unit else ""
        raise ConfigError(f"{setting.name} is between {setting.least} and {setting.most}{unit}, not {value}{place}")
    if setting.choices and value not in setting.choices:
        raise ConfigError(f"{setting.name} is one of {', '.join(setting.choices)}, not {value!r}{place}")
    return value


def _folded(setting: Setting, text: str) -> str:
    return text.lower() if setting.choices else text
