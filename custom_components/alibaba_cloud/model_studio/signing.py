"""Signatures of Alibaba Cloud's OpenAPI (ACS3-HMAC-SHA256). No I/O."""

from datetime import UTC, datetime
from hashlib import sha256
import hmac
from urllib.parse import quote

from yarl import URL

from .models import AccessKey

ALGORITHM = "ACS3-HMAC-SHA256"


def signed_headers(
    access_key: AccessKey,
    *,
    method: str,
    url: URL,
    action: str,
    version: str,
    now: datetime,
    nonce: str,
) -> dict[str, str]:
    """Return the headers that sign a request without a body.

    The service refuses a nonce that was used before, and a `now` that is more than 15
    minutes off. The headers don't contain the secret.
    """
    payload = sha256(b"").hexdigest()
    headers = {
        "host": url.host_port_subcomponent or "",
        "x-acs-action": action,
        "x-acs-content-sha256": payload,
        "x-acs-date": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-version": version,
    }
    names = ";".join(headers)
    canonical = "\n".join(
        (
            method,
            url.raw_path,
            _canonical_query(url),
            *(f"{name}:{value}" for name, value in headers.items()),
            "",
            names,
            payload,
        )
    )
    signature = hmac.digest(
        access_key.secret.encode(),
        f"{ALGORITHM}\n{sha256(canonical.encode()).hexdigest()}".encode(),
        "sha256",
    ).hex()
    return {
        **headers,
        "Authorization": (
            f"{ALGORITHM} Credential={access_key.id},SignedHeaders={names}"
            f",Signature={signature}"
        ),
    }


def _canonical_query(url: URL) -> str:
    """Return the query of a URL, sorted and percent-encoded (RFC 3986)."""
    return "&".join(
        f"{_encode(name)}={_encode(value)}" for name, value in sorted(url.query.items())
    )


def _encode(text: str) -> str:
    """Percent-encode all characters except the unreserved ones of RFC 3986."""
    return quote(text, safe="~")
