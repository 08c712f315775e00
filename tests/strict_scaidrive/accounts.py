"""The strict server's accounts: tokens, the user, shares, devices and their preferences."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from strict_raven.wire import Response
from strict_scaidrive.routing import DriveRequest, document
from strict_scaidrive.server import DriveError, StrictScaiDrive
from strict_scaidrive.state import JSON, TENANT, USER, DriveDevice, DriveShare

TOKEN_SECONDS = 3600.0
PLATFORMS = ("windows", "macos", "linux", "ios", "android", "web", "cli")


class DriveAccounts:
    """Answers about the account of the one user."""

    def __init__(self, server: StrictScaiDrive) -> None:
        self._server = server

    # Tokens

    def config(self, request: DriveRequest) -> Response:
        """Where tokens come from."""
        base = "https://id.example"
        shown = {
            "authorize_url": f"{base}/authorize", "token_url": f"{base}/token", "client_id": "scaidrive-desktop",
            "desktop_callback_url": f"{base}/callback",
        }  # fmt: skip
        return document(200, shown)

    def new_tokens(self) -> JSON:
        """A pair of tokens."""
        state = self._server.state
        access, refresh = self._server.new_id("acc"), self._server.new_id("ref")
        state.access[access] = self._server.clock() + TOKEN_SECONDS
        state.refresh.add(refresh)
        return {
            "access_token": access, "token_type": "Bearer", "expires_in": int(TOKEN_SECONDS), "refresh_token": refresh,
        }  # fmt: skip

    def token(self, request: DriveRequest) -> Response:
        """Exchange a refresh token, once."""
        fields, state = request.fields(), self._server.state
        if fields.get("grant_type") != "refresh_token":
            raise DriveError(400, "unsupported grant_type")
        if fields.get("refresh_token") not in state.refresh:
            raise DriveError(401, "The refresh token is not valid")
        state.refresh.discard(fields["refresh_token"])
        return document(200, self.new_tokens())

    # The user and shares

    def me(self) -> JSON:
        """The user."""
        shown: JSON = {"id": USER, "tenant_id": TENANT, "groups": [], "scopes": ["files:read", "files:write"]}
        return shown if self._server.traps.hides_cap else {**shown, "max_file_size_bytes": self._server.most}

    def shares(self, request: DriveRequest) -> JSON:
        """A page of the shares that the user may see."""
        seen = [share for share in self._server.state.shares.values() if not share.hidden]
        start, limit = request.number("offset", 0, 0, 2**31), request.number("limit", 50, 1, 100)
        return {"shares": [self._share(each) for each in seen[start : start + limit]], "total": len(seen)}

    def _share(self, share: DriveShare) -> JSON:
        at = datetime.fromtimestamp(share.created_at, UTC).isoformat()
        return {
            "id": share.id, "name": share.name, "type": "personal", "role": share.role, "owner_id": USER,
            "quota_bytes": None, "used_bytes": 0, "created_at": at,
        }  # fmt: skip

    def create_share(self, request: DriveRequest) -> JSON:
        """Create a share of the user."""
        body = request.json()
        if body.get("owner_id") != USER or body.get("share_type") not in ("central", "personal", "project"):
            raise DriveError(422, [{"loc": ["body", "owner_id"], "msg": "field required", "type": "missing"}])
        shown = self._share(self._server.add_share(str(body["name"])))
        del shown["role"]
        return shown

    # Devices

    def device(self, identifier: str) -> DriveDevice:
        """A registered device."""
        found = self._server.state.devices.get(identifier)
        if found is None:
            raise DriveError(404, "Device not found")
        return found

    def register(self, request: DriveRequest) -> JSON:
        """Register a device; the same id again is the same device."""
        body = request.json()
        if body.get("platform") not in PLATFORMS:
            raise DriveError(422, [{"loc": ["body", "platform"], "msg": "unknown platform", "type": "enum"}])
        now = self._server.clock()
        device = DriveDevice(
            str(body["device_id"]), str(body["device_name"]), body["platform"], str(body["client_version"]), True, now
        )
        self._server.state.devices[device.id] = device
        return self._shown(device)

    def _shown(self, device: DriveDevice) -> JSON:
        at = datetime.fromtimestamp(device.seen_at, UTC).isoformat()
        return {
            "id": device.id, "device_id": device.id, "device_name": device.name, "platform": device.platform,
            "client_version": device.version, "is_active": device.active, "last_seen_at": at, "created_at": at,
        }  # fmt: skip

    def devices(self) -> list[JSON]:
        """Every device of the user."""
        return [self._shown(each) for each in self._server.state.devices.values()]

    def change_device(self, request: DriveRequest) -> JSON:
        """Rename or pause a device."""
        body, found = request.json(), self.device(request.ids[0])
        changed = replace(
            found, name=str(body.get("device_name", found.name)), active=body.get("is_active", found.active) is True
        )
        self._server.state.devices[found.id] = changed
        return self._shown(changed)

    def remove_device(self, request: DriveRequest) -> Response:
        """Forget a device."""
        del self._server.state.devices[self.device(request.ids[0]).id]
        return Response(204, {}, b"")

    def heartbeat(self, request: DriveRequest) -> Response:
        """Note that a device is alive."""
        found = self.device(request.ids[0])
        self._server.state.devices[found.id] = replace(found, seen_at=self._server.clock())
        return Response(204, {}, b"")

    # Preferences

    def preferences(self, request: DriveRequest) -> JSON:
        """A device's preferences for every share that has any."""
        device = self.device(request.ids[0]).id
        found = self._server.state.preferences
        return {"preferences": [row for (of, _), row in found.items() if of == device]}

    def set_preference(self, request: DriveRequest) -> JSON:
        """Set a device's preference for one share."""
        device = self.device(request.ids[0]).id
        return self._set(device, request.ids[1], request.json())

    def set_preferences(self, request: DriveRequest) -> JSON:
        """Set a device's preferences for several shares."""
        device = self.device(request.ids[0]).id
        rows = request.json()["preferences"]
        return {"preferences": [self._set(device, str(row["share_id"]), row) for row in rows]}

    def _set(self, device: str, share: str, body: JSON) -> JSON:
        self._server.share(share)
        if body.get("selected_folders") and body.get("excluded_folders"):
            raise DriveError(422, [{"loc": ["body"], "msg": "selected or excluded", "type": "value_error"}])
        row = {
            "share_id": share, "sync_enabled": body.get("sync_enabled") is not False,
            "selected_folders": body.get("selected_folders"), "excluded_folders": body.get("excluded_folders"),
        }  # fmt: skip
        self._server.state.preferences[device, share] = row
        return row
