"""Health check of the hub in this container: exit code 0 if it answers, else 1. With a certificate it is HTTPS only."""

import ssl
import sys
import urllib.request

ADDRESS = "127.0.0.1:8674/healthz"


def healthy() -> bool:
    """Ask over plain HTTP, then over TLS; the certificate names the public address, so it is not verified here."""
    unchecked = ssl._create_unverified_context()  # noqa: S323
    for scheme in ("http", "https"):
        try:
            with urllib.request.urlopen(f"{scheme}://{ADDRESS}", timeout=2, context=unchecked):  # noqa: S310
                return True
        except OSError:
            continue
    return False


if __name__ == "__main__":
    sys.exit(not healthy())
