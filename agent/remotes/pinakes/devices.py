"""This machine as a device of the account: registered once, named by a token that the server shows once.

The id of the connector is made by this machine and travels in the registration. A registration whose answer was lost is
therefore found again in the list of devices, and gets a new token in place of the one that was never seen.
"""

from __future__ import annotations

import threading

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.issued_tokens import SecretStore
from agent.remotes.pinakes.calls import MISSING, PinakesCalls
from agent.remotes.pinakes.wire import (
    DeviceRow,
    device_body,
    device_change_body,
    device_of,
    device_token_of,
    devices_of,
    registered_of,
)


class DeviceCredential(Struct, frozen=True):
    """This machine's device. Its ``repr`` leaves the token out.

    Attributes:
        connector: the id that this machine made.
        device: the id that the server made.
        token: names the device in each call; "" if it must be requested.
    """

    connector: str
    device: str
    token: str

    def __repr__(self) -> str:
        return f"DeviceCredential({self.device!r})"


class PinakesDevices:
    """The devices of one account. Safe to use from several threads.

    Args:
        store: keeps the credential over restarts.
    """

    def __init__(self, calls: PinakesCalls, store: SecretStore) -> None:
        self._calls = calls
        self._store = store
        self._lock = threading.Lock()
        self._known: DeviceCredential | None = None

    # The credential

    @property
    def id(self) -> str | None:
        """The server's id of this machine's device; None if it is not registered."""
        found = self._credential()
        return None if found is None else found.device

    def token(self) -> str:
        """See ``DeviceTokens``. A token that was lost is requested."""
        with self._lock:
            found = self._credential()
            if found is not None and not found.token:
                found = self._with_new_token(found)
            return "" if found is None else found.token

    def replaced(self, refused: str) -> str:
        """See ``DeviceTokens``. Another process may have replaced it already."""
        with self._lock:
            stored = self._stored()
            if stored is not None and stored.token not in ("", refused):
                self._known = stored
                return stored.token
            found = self._known
            if found is None:
                return ""
            try:
                return self._with_new_token(found).token
            except RemoteCallError as failure:
                if failure.problem.kind in (*MISSING, ProblemKind.SIGNED_OUT):
                    # The device is unknown, which the next heartbeat finds, or the session is refused as well.
                    return ""
                raise

    def _credential(self) -> DeviceCredential | None:
        if self._known is None:
            self._known = self._stored()
        return self._known

    def _stored(self) -> DeviceCredential | None:
        try:
            return msgspec.json.decode(self._store.load() or "null", type=DeviceCredential | None)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return None

    def _keep(self, found: DeviceCredential) -> DeviceCredential:
        # Durable before its first use: the server does not show it again.
        self._store.save(msgspec.json.encode(found).decode())
        self._known = found
        return found

    def _with_new_token(self, found: DeviceCredential) -> DeviceCredential:
        return self._keep(replace(found, token=self.new_token(found.device)))

    # The account's devices

    def all(self) -> list[DeviceRow]:
        """List the devices of the account."""
        return devices_of(self._calls.send_as_account("GET", "sync/devices"))

    def get(self, device: str) -> DeviceRow:
        """Read a device. Raises NOT_FOUND."""
        return device_of(self._calls.send_as_account("GET", "sync/devices/{}", (device,)))

    def change(self, device: str, name: str | None = None, enabled: bool | None = None) -> DeviceRow:
        """Rename a device, or switch it on or off; None leaves a value as it is. Raises NOT_FOUND."""
        body = device_change_body(name, enabled)
        return device_of(self._calls.send_as_account("PUT", "sync/devices/{}", (device,), body))

    def remove(self, device: str) -> None:
        """Delete a device. Raises NOT_FOUND."""
        self._calls.send_as_account("DELETE", "sync/devices/{}", (device,))

    def new_token(self, device: str) -> str:
        """Give a device a new token; the old one ends. Raises NOT_FOUND."""
        return device_token_of(self._calls.send_as_account("POST", "sync/devices/{}/token", (device,)))

    def renew_token(self, device: str) -> None:
        """End a device's token. This machine's new one is kept; another machine asks for its own. Raises NOT_FOUND."""
        with self._lock:
            found = self._credential()
            if found is not None and found.device == device:
                self._with_new_token(found)
                return
        self.new_token(device)

    # This machine

    def register(self, name: str, platform: str, version: str, connector: str) -> None:
        """Register this machine, or take up its device again.

        Raises:
            RemoteError: FORBIDDEN if the device was switched off on the server; any other failed call.
        """
        mark = f"{platform} {connector}"
        found = self._find(connector)
        if found is None:
            body = device_body(name, platform, version, mark)
            found, token = registered_of(self._calls.send_as_account("POST", "sync/devices", body=body))
            with self._lock:
                self._keep(DeviceCredential(connector, found.id, token))
        elif found.name != name:
            found = self.change(found.id, name=name)
        _require_enabled(found)

    def rename(self, connector: str, name: str) -> None:
        """Rename the device of a connector. Raises NOT_FOUND if the server has no such device."""
        self.change(self._known_device(connector).id, name=name)

    def check(self, connector: str) -> None:
        """Take up the device of a connector.

        Raises:
            RemoteError: NOT_FOUND if the server has no such device; FORBIDDEN if it was switched off there.
        """
        _require_enabled(self._known_device(connector))

    def _known_device(self, connector: str) -> DeviceRow:
        found = self._find(connector)
        if found is None:
            problem = Problem(ProblemKind.NOT_FOUND, "the server does not know this device")
            raise RemoteCallError(problem, SideEffect.NONE)
        return found

    def _find(self, connector: str) -> DeviceRow | None:
        known = self._credential()
        if known is not None and known.connector == connector:
            try:
                return self.get(known.device)
            except RemoteCallError as failure:
                if failure.problem.kind not in MISSING:
                    raise
        found = next((each for each in self.all() if each.mark.endswith(f" {connector}")), None)
        if found is not None:
            with self._lock:
                self._keep(DeviceCredential(connector, found.id, ""))
        return found


def _require_enabled(found: DeviceRow) -> None:
    if not found.enabled:
        words = f"the device {found.name} is switched off on the server; switch it on there to sync this machine"
        raise RemoteCallError(Problem(ProblemKind.FORBIDDEN, words), SideEffect.NONE)
