"""Options that name a hub's data, and the errors of commands on it."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from agent.cli.command import App
from agent.cli.exit_codes import ExitCode
from agent.cli.file_param import FILE
from agent.cli.humanize import short_home
from agent.core.errors import AgentError, UsageError
from agent.settings.owner_only_files import ensure_private

if TYPE_CHECKING:
    from agent.hub.store.backup import HubData
    from agent.hub.store.sql_store import SqlStore

DATABASE_FILE_VARIABLE: Final = "RAVEN_HUB_DATABASE_FILE"
SECRET_FILE_VARIABLE: Final = "RAVEN_HUB_SECRET_FILE"  # noqa: S105 - the name of a variable

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The hub's folder; by default the embedded hub's.",
)


class HubCommandFailed(AgentError):
    """The hub does not start, or a command on its data fails."""

    code = "hub"


@dataclass(frozen=True, slots=True)
class HubPlace:
    """A hub's data as the options of a command name it.

    Attributes:
        folder: the hub's folder, not created yet.
        url: a database outside of it, None for the SQLite file in the folder.
        secret_file: the signing secret outside of it, None for the file in the folder.
    """

    folder: Path
    url: str | None
    secret_file: Path | None

    def store(self) -> SqlStore:
        """Open the database, which migrates an older schema."""
        from agent.hub.serve import open_store

        ensure_private(self.folder)
        return open_store(self.folder, self.url)

    def existing_store(self) -> SqlStore:
        """Open the database of a hub that was started before; a mistyped folder must not become an empty hub.

        Raises:
            HubCommandFailed: there is no hub in the folder.
        """
        from agent.hub.serve import DATABASE_FILE

        if self.url is None and not (self.folder / DATABASE_FILE).exists():
            raise HubCommandFailed(
                f"there is no hub in {short_home(str(self.folder))}",
                "name its folder with --data DIR; on this machine raven-agent up FOLDER makes one",
            )
        return self.store()

    def data(self) -> HubData:
        """Return the files of a backup or a restoration."""
        from agent.hub.auth import SECRET_FILE
        from agent.hub.serve import DATABASE_FILE
        from agent.hub.store.backup import HubData

        secret = self.secret_file or self.folder / SECRET_FILE
        return HubData(self.folder, self.folder / DATABASE_FILE, secret, self.url)


def place_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where a hub's data is, and pass them as one ``HubPlace``."""

    @data_option
    @click.option("--database", metavar="URL", help="A database elsewhere, for example postgresql+psycopg://…")
    @click.option(
        "--database-file",
        type=FILE,
        metavar="FILE",
        help=f"A file that holds the URL, which the process list would show; by default ${DATABASE_FILE_VARIABLE}.",
    )
    @functools.wraps(function)
    def wrapped(
        app: App, *, data: Path | None, database: str | None, database_file: Path | None, **options: Any
    ) -> ExitCode:
        result: ExitCode = function(app, place=_place(app, data, database, database_file), **options)
        return result

    return wrapped


def _place(app: App, data: Path | None, database: str | None, database_file: Path | None) -> HubPlace:
    if database is not None and database_file is not None:
        raise UsageError("--database and --database-file name the same thing", "give one of them")
    if data is None:
        app.home.create()
    named = database_file or _path_from(DATABASE_FILE_VARIABLE)
    if database is None and named is not None:
        database = _url_in(named)
    return HubPlace(data or app.home.hub_dir, database, _path_from(SECRET_FILE_VARIABLE))


def _path_from(variable: str) -> Path | None:
    value = os.environ.get(variable, "")
    return Path(value) if value else None


def _url_in(file: Path) -> str:
    try:
        url = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise HubCommandFailed(f"the database URL cannot be read from {file}: {error}") from error
    if not url:
        raise HubCommandFailed(f"{file} is empty; it must hold a database URL")
    return url


@contextlib.contextmanager
def hub_errors() -> Iterator[None]:
    from agent.hub.auth import SecretError
    from agent.hub.domain.ports import StoreFull, StoreUnavailable
    from agent.hub.serve import ServeError
    from agent.hub.store.migrations import StoreError

    try:
        yield
    except (ServeError, StoreError, SecretError) as error:
        raise HubCommandFailed(str(error)) from error
    except StoreFull as error:
        raise HubCommandFailed("the disk of the hub's database is full") from error
    except StoreUnavailable as error:
        raise HubCommandFailed(f"the hub's database does not answer: {error}") from error
    except OSError as error:
        raise HubCommandFailed(f"{error.filename or 'the hub'}: {error.strerror}") from error
