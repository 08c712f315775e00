"""The hub's own certificate, which no authority has signed: clients that join accept this one and no other."""

from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from agent.settings.owner_only_files import create_once

CERTIFICATE_FILE: Final = "certificate.pem"
LIFETIME_DAYS: Final = 20 * 365
"""Clients compare the certificate's hash and no dates, so its end only matters to other programs."""
_DAYS_BEFORE: Final = 1
"""Days before its creation at which it begins to be valid, for clocks that are behind."""


def own_certificate(folder: Path) -> Path:
    """Return the file with the hub's own certificate and its key, made at the first call. Only its owner can read it.

    Raises:
        OSError: the file can be neither read nor made.
    """
    path = folder / CERTIFICATE_FILE
    if not path.exists():
        create_once(path, _new_certificate())
    return path


def fingerprint(certificate: Path) -> str:
    """Return the sha256 of the first certificate in a PEM file, as hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no certificate.
    """
    return hashlib.sha256(_first(certificate)).hexdigest()


def is_self_signed(certificate: Path) -> bool:
    """Return True if the first certificate in a PEM file names itself as its issuer.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no certificate.
    """
    from cryptography import x509

    found = x509.load_der_x509_certificate(_first(certificate))
    return found.issuer == found.subject


def _first(certificate: Path) -> bytes:
    text = certificate.read_text("ascii")
    begin, end = text.find("-----BEGIN CERTIFICATE-----"), "-----END CERTIFICATE-----"
    if begin < 0 or end not in text[begin:]:
        raise ValueError(f"{certificate} holds no certificate")
    return ssl.PEM_cert_to_DER_cert(text[begin : text.index(end, begin) + len(end)])


def _new_certificate() -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "raven hub")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=_DAYS_BEFORE))
    builder = builder.not_valid_after(now + timedelta(days=LIFETIME_DAYS))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("raven-hub")]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem) + private
