"""The secret by which this machine names itself to a server, kept beside the token of its account."""

from __future__ import annotations

from collections.abc import Callable

from agent.core.errors import Problem, ProblemKind
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.settings.credentials import CredentialStore
from agent.settings.errors import CredentialsError
from agent.settings.links import ServerEntry


class StoredDeviceSecret:
    """``SecretStore`` over the credentials of this home. Its failures are those of the call that needs it.

    Args:
        entry: returns the account as it is now.
    """

    def __init__(self, credentials: CredentialStore, entry: Callable[[], ServerEntry]) -> None:
        self._credentials = credentials
        self._entry = entry

    def load(self) -> str:
        """See ``SecretStore``."""
        try:
            return self._credentials.device_secret(self._entry())
        except CredentialsError as error:
            raise _unusable(error) from error

    def save(self, text: str) -> None:
        """See ``SecretStore``."""
        try:
            self._credentials.store_device_secret(self._entry(), text)
        except CredentialsError as error:
            raise _unusable(error) from error


def _unusable(error: CredentialsError) -> RemoteCallError:
    return RemoteCallError(Problem(ProblemKind.SIGNED_OUT, error.message), SideEffect.NONE)
