"""Which host to ask: base URLs and endpoints by region."""

from ipaddress import ip_address, ip_network
import re

from yarl import URL

REGIONS = {
    "cn-beijing": "https://dashscope.aliyuncs.com/api/v1",
    "ap-southeast-1": "https://dashscope-intl.aliyuncs.com/api/v1",
    "us-east-1": "https://dashscope-us.aliyuncs.com/api/v1",
    "cn-hongkong": "https://cn-hongkong.dashscope.aliyuncs.com/api/v1",
}
"""Base URL by region. An API key belongs to one region."""
DEFAULT_REGION = "cn-beijing"

WORKSPACE_REGIONS = (*REGIONS, "eu-central-1", "ap-northeast-1")
"""Regions in which each workspace has its own host. The last two have no shared host."""
WORKSPACE_BASE_URL = "https://{workspace_id}.{region}.maas.aliyuncs.com/api/v1"

BILLING_ENDPOINT = "https://modelstudio.{region}.aliyuncs.com"
TOKEN_PLAN_REGIONS = ("cn-beijing", "ap-southeast-1")
"""Regions whose `BILLING_ENDPOINT` also serves the Token Plan for teams."""
CLOUDMONITOR_ENDPOINT = "https://metrics.{region}.aliyuncs.com"
BALANCE_ENDPOINTS = (
    "https://business.aliyuncs.com",
    "https://business.ap-southeast-1.aliyuncs.com",
)
"""Endpoints of the China site and of the international site."""

_LOCAL_NETWORKS = tuple(
    map(
        ip_network,
        (
            "127.0.0.0/8",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "169.254.0.0/16",
            "::1/128",
            "fc00::/7",
            "fe80::/10",
        ),
    )
)
"""Loopback, private (RFC 1918, RFC 4193) and link-local addresses.

`is_private` also covers addresses outside the local network, such as 0.0.0.0 and
240.0.0.0/4.
"""
_VENDOR = ".aliyuncs.com"
_COMPATIBLE_PATH = re.compile("/compatible-mode/v1(/.*)?")
"""Path of the OpenAI-compatible API, which has no quotas."""
_WORKSPACE_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class InvalidURLError(ValueError):
    """Raised for a base URL that no API key may be sent to."""


class UnencryptedURLError(InvalidURLError):
    """Raised for a URL that is invalid only because it is http and not local."""


class InvalidWorkspaceError(ValueError):
    """Raised for an invalid workspace ID."""


def is_china_site(base_url: str) -> bool:
    """Return whether a host belongs to the China site, and not the international one."""
    host = URL(base_url).host or ""
    return host == URL(REGIONS[DEFAULT_REGION]).host or "cn-beijing." in host


def price_currency(base_url: str) -> str | None:
    """Return the currency of the prices at a host of a region: that of its site.

    None for any other host, because it can belong to either site.
    """
    region = _region(URL(base_url).host or "")
    if region is None:
        return None
    return "CNY" if region == DEFAULT_REGION else "USD"


def _region(host: str) -> str | None:
    """Return the region of a public host or of a workspace's host, None for any other."""
    for region, url in REGIONS.items():
        if host == URL(url).host:
            return region
    _, _, parent = host.partition(".")
    for region in WORKSPACE_REGIONS:
        if parent == f"{region}.maas.aliyuncs.com":
            return region
    return None


def balance_endpoints(region: str) -> tuple[str, ...]:
    """Return the endpoints for the balance, the likelier one first.

    An account belongs to one of the two sites. Its region is only a hint.
    """
    return BALANCE_ENDPOINTS if region.startswith("cn-") else BALANCE_ENDPOINTS[::-1]


def normalize_base_url(text: str) -> str:
    """Return a base URL as it is stored, without a slash or `/quotas` at the end.

    On the vendor's own hosts, the URL of the OpenAI-compatible API becomes the URL of
    the native API. Raises `InvalidURLError` unless the URL is https, or http for this
    machine and private addresses. It must have no credentials, query or fragment. The
    error is an `UnencryptedURLError` if the URL would be valid with https.
    """
    text = text.strip()
    try:
        url = URL(text)
        host = url.host or ""
        host.encode("idna")
        if host.endswith("."):
            # The same host with and without the dot.
            host = host.removesuffix(".")
            url = url.with_host(host)
    except ValueError as err:
        raise InvalidURLError("Not a URL") from err
    if (
        not host
        or not text.isprintable()
        or " " in text
        or url.scheme not in ("https", "http")
        or url.user is not None
        or url.password is not None
        or url.query_string
        or url.fragment
    ):
        raise InvalidURLError("Not a base URL")
    if url.scheme == "http" and not _is_local(host):
        raise UnencryptedURLError("Not encrypted")
    path = url.raw_path.rstrip("/").removesuffix("/quotas").rstrip("/")
    if host.endswith(_VENDOR) and _COMPATIBLE_PATH.fullmatch(path):
        path = "/api/v1"
    return f"{url.origin()}{path}"


def trusted_url(text: str, endpoint: str) -> str:
    """Return a URL as `normalize_base_url` does, if its host may get the AccessKey.

    It may be sent to the vendor's hosts, and to that of the endpoint, which named the URL.
    Raises `InvalidURLError` for any other host, and as `normalize_base_url`.
    """
    url = normalize_base_url(text)
    host = URL(url).host or ""
    if not host.endswith(_VENDOR) and host != URL(endpoint).host:
        raise InvalidURLError("A host that the AccessKey is not sent to")
    return url


def workspace_base_url(workspace_id: str, region: str) -> str:
    """Return the base URL of a workspace in a region.

    Raises `InvalidWorkspaceError` unless the ID can be part of a host name.
    """
    workspace_id = workspace_id.strip().lower()
    if not _WORKSPACE_ID.fullmatch(workspace_id):
        raise InvalidWorkspaceError("Not a workspace ID")
    return WORKSPACE_BASE_URL.format(workspace_id=workspace_id, region=region)


def _is_local(host: str) -> bool:
    """Return whether a host is this machine or an address of a private network."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    # A connection to an IPv4-mapped IPv6 address goes to the IPv4 address.
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in _LOCAL_NETWORKS)
