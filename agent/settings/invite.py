"""The one line of text that `hub invite` prints and `join` takes: addresses, the certificate's hash, one-time code."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final

from agent.core.errors import UsageError

PREFIX: Final = "raven1_"
"""The form's name and version."""
_PIN_BYTES: Final = 32
_CODE_BYTES: Final = 16
_SUM_BYTES: Final = 4
_LONGEST: Final = 2048


@dataclass(frozen=True, slots=True)
class Invite:
    """An invite to a hub.

    Attributes:
        addresses: ``HOST:PORT`` or a URL each, the likeliest one first.
        pin: sha256 of the hub's certificate in hexadecimal; "" if the certificate is checked by its name.
        code: the one-time code, in hexadecimal. The ``repr`` leaves it out.
    """

    addresses: tuple[str, ...]
    pin: str
    code: str = field(repr=False)

    @property
    def urls(self) -> list[str]:
        """The addresses as URLs."""
        return [one if "://" in one else f"https://{one}" for one in self.addresses]

    def to_text(self) -> str:
        """Return the line. It has only letters, digits, ``-`` and ``_``, which no shell changes."""
        pin = bytes.fromhex(self.pin) or bytes(_PIN_BYTES)
        content = pin + bytes.fromhex(self.code) + ",".join(self.addresses).encode()
        checked = content + _sum(content)
        return PREFIX + base64.urlsafe_b64encode(checked).rstrip(b"=").decode("ascii")

    @classmethod
    def from_text(cls, text: str) -> Invite:
        """Read the line.

        Raises:
            UsageError: it is no invite, or a part of it is missing or changed.
        """
        text = text.strip()
        if not text.startswith(PREFIX):
            raise UsageError("that is not an invite", "raven-agent hub invite prints one on the hub's machine")
        cut = UsageError("a part of the invite is missing or changed", "copy the whole line, or make another invite")
        body = text.removeprefix(PREFIX)
        try:
            checked = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raise cut from None
        content, found = checked[:-_SUM_BYTES], checked[-_SUM_BYTES:]
        least = _PIN_BYTES + _CODE_BYTES
        if len(text) > _LONGEST or len(content) <= least or _sum(content) != found:
            raise cut
        pin, code, rest = content[:_PIN_BYTES], content[_PIN_BYTES:least], content[least:]
        try:
            addresses = tuple(rest.decode("ascii").split(","))
        except UnicodeDecodeError:
            raise cut from None
        return cls(addresses, pin.hex() if any(pin) else "", code.hex())


def _sum(content: bytes) -> bytes:
    return binascii.crc32(content).to_bytes(_SUM_BYTES, "big")
