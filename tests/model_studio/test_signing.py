"""Tests of signatures."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
import string
import time
from types import SimpleNamespace

from alibabacloud_tea_openapi.utils import Utils  # type: ignore[import-untyped]
from hypothesis import given, strategies as st
import pytest
from yarl import URL

from custom_components.alibaba_cloud.model_studio.models import AccessKey
from custom_components.alibaba_cloud.model_studio.signing import (
    ALGORITHM,
    signed_headers,
)

# Hypothesis warns about its own random number generator.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

NOTHING = sha256(b"").hexdigest()
UNRESERVED = string.ascii_letters + string.digits + "-._~"
PRINTABLE = "".join(map(chr, range(33, 127)))

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
# Separators are not encoded. The paths in use have no other reserved characters.
SEGMENT = st.text(
    st.sampled_from(UNRESERVED + ' %"<>^`{|}äß通义千问🙂'), min_size=1, max_size=10
).filter(lambda segment: segment not in {".", ".."})
PATH = st.lists(SEGMENT, max_size=4).map(lambda segments: "/" + "/".join(segments))
QUERY = st.dictionaries(
    st.text(st.sampled_from(UNRESERVED), min_size=1, max_size=12), TEXT, max_size=6
)
ZONE = st.integers(-23 * 60, 23 * 60).map(lambda m: timezone(timedelta(minutes=m)))
TIME = st.datetimes(datetime(2000, 1, 2), datetime(2100, 1, 1), timezones=ZONE)  # noqa: DTZ001
URL_PARTS = st.tuples(
    st.sampled_from(["http", "https"]),
    st.sampled_from(["127.0.0.1", "modelstudio.cn-beijing.aliyuncs.com"]),
    st.none() | st.integers(1, 65535),
)


@pytest.fixture
def machine_in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the machine's time zone to Tokyo instead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@given(
    method=st.sampled_from(["GET", "POST", "PUT"]),
    origin=URL_PARTS,
    path=PATH,
    query=QUERY,
    access_key_id=st.text(st.sampled_from(UNRESERVED), min_size=1, max_size=30),
    # Only the secret contains a <, so no other value contains the secret by chance.
    secret=st.text(st.sampled_from(PRINTABLE), max_size=40).map("<{}".format),
    now=TIME,
    names=st.tuples(*[st.text(st.sampled_from(UNRESERVED), min_size=1)] * 3),
)
def test_signature_equals_the_vendors(
    method: str,
    origin: tuple[str, str, int | None],
    path: str,
    query: dict[str, str],
    access_key_id: str,
    secret: str,
    now: datetime,
    names: tuple[str, str, str],
) -> None:
    """The vendor's SDK gives any request the same signature."""
    scheme, host, port = origin
    action, version, nonce = names
    url = URL.build(scheme=scheme, host=host, port=port, path=path, query=query)
    access_key = AccessKey(id=access_key_id, secret=secret)
    headers = signed_headers(
        access_key,
        method=method,
        url=url,
        action=action,
        version=version,
        now=now,
        nonce=nonce,
    )
    standard = port in {None, {"http": 80, "https": 443}[scheme]}
    others = {
        "host": host if standard else f"{host}:{port}",
        "x-acs-action": action,
        "x-acs-content-sha256": NOTHING,
        "x-acs-date": f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "x-acs-signature-nonce": nonce,
        "x-acs-version": version,
    }
    expected = Utils.get_authorization(
        SimpleNamespace(
            method=method,
            pathname=Utils.get_encode_path(path),
            query=query,
            headers=others,
        ),
        ALGORITHM,
        NOTHING,
        access_key_id,
        secret,
    )
    assert headers == {**others, "Authorization": expected}
    assert secret not in repr((headers, access_key))


@pytest.mark.parametrize(
    ("url", "query", "signature"),
    [
        # The example in the vendor's documentation.
        (
            "https://ecs.cn-shanghai.aliyuncs.com/",
            {
                "RegionId": "cn-shanghai",
                "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
            },
            "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
        ),
        (
            "https://ecs.cn-shanghai.aliyuncs.com:8443",
            {"name": "a b+c*~%é", "empty": ""},
            "5764f43e291bb953a8311d5938dae1e7ec55e3a914d74bc2fd5a8dddc61339e6",
        ),
    ],
    ids=["documented", "encoded"],
)
@pytest.mark.usefixtures("machine_in_tokyo")
def test_known_signature(url: str, query: dict[str, str], signature: str) -> None:
    """A documented signature is reproduced in another time zone than UTC."""
    headers = signed_headers(
        AccessKey(id="YourAccessKeyId", secret="YourAccessKeySecret"),
        method="POST",
        url=URL(url).with_query(query),
        action="RunInstances",
        version="2014-05-26",
        now=datetime(2023, 10, 26, 10, 22, 32, tzinfo=UTC),
        nonce="3156853299f313e23d1673dc12e1703d",
    )
    assert headers["Authorization"] == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;"
        "x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,"
        f"Signature={signature}"
    )
