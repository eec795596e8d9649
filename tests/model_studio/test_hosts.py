"""Tests of base URLs and endpoints."""

import pytest

from custom_components.alibaba_cloud.model_studio import (
    BALANCE_ENDPOINTS,
    DEFAULT_REGION,
    REGIONS,
    WORKSPACE_REGIONS,
    InvalidURLError,
    InvalidWorkspaceError,
    balance_endpoints,
    normalize_base_url,
    workspace_base_url,
)
from custom_components.alibaba_cloud.model_studio.hosts import (
    is_china_site,
    price_currency,
    trusted_url,
)

from .common import short


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("https://dashscope.aliyuncs.com/api/v1", None),
        ("https://dashscope.aliyuncs.com", None),
        ("https://llm-1.cn-beijing.maas.aliyuncs.com/api/v1", None),
        ("https://a.example/api/v1/", "https://a.example/api/v1"),
        *(
            (f"https://{host}/compatible-mode/v1{rest}", f"https://{host}/api/v1")
            for host in (
                "dashscope.aliyuncs.com",
                "cn-hongkong.dashscope.aliyuncs.com",
                "llm-1.cn-beijing.maas.aliyuncs.com",
            )
            for rest in ("", "/", "/chat/completions", "/models")
        ),
        ("https://a.example/compatible-mode/v1", None),
        (
            "https://dashscope.aliyuncs.com./api/v1",
            "https://dashscope.aliyuncs.com/api/v1",
        ),
        ("https://1.2.3.4.:8443/", "https://1.2.3.4:8443"),
        ("http://localhost./", "http://localhost"),
        ("http://169.254.1.1", None),
        ("http://[fd00::1]", None),
        ("http://[fe80::1]", None),
        ("http://[::ffff:10.0.0.1]", None),
        ("https://a.example/api/v1//", "https://a.example/api/v1"),
        ("https://a.example/api/v1/quotas", "https://a.example/api/v1"),
        ("https://a.example/api/v1/quotas/", "https://a.example/api/v1"),
        ("https://a.example/api/v1//quotas//", "https://a.example/api/v1"),
        ("https://a.example/", "https://a.example"),
        ("https://a.example/quotas", "https://a.example"),
        ("https://a.example/myquotas", None),
        ("https://a.example/quotas/v1", None),
        ("https://quotas", None),
        ("https://quotas/", "https://quotas"),
        ("https://quotas/quotas", "https://quotas"),
        ("  https://a.example/api/v1 ", "https://a.example/api/v1"),
        ("\thttps://a.example/api/v1\r\n", "https://a.example/api/v1"),
        (
            "https://DashScope.AliYunCS.com/API/v1",
            "https://dashscope.aliyuncs.com/API/v1",
        ),
        ("HTTPS://a.example/api", "https://a.example/api"),
        ("https://a.example:8443/api", None),
        ("https://a.example:443/api", "https://a.example/api"),
        ("https://a_b.example/api", None),
        ("https://bücher.example/api", "https://xn--bcher-kva.example/api"),
        ("https://1.2.3.4/api", None),
        ("https://[2001:4860:4860::8888]/api", None),
        ("https://localhost", None),
        ("http://localhost", None),
        ("http://LOCALHOST:8080/", "http://localhost:8080"),
        ("http://127.0.0.1:8765/api/v1", None),
        ("http://127.255.255.254", None),
        ("http://10.0.0.1", None),
        ("http://172.16.0.1/a", None),
        ("http://172.31.255.255/a", None),
        ("http://192.168.178.20:3000", None),
        ("http://[::1]:8765/api/v1", None),
        ("http://[::1]", None),
        ("http://[fd12:3456::1]/api", None),
        ("http://[::ffff:192.168.0.1]/api", None),
        ("HTTP://127.0.0.1", "http://127.0.0.1"),
    ],
)
def test_base_url(text: str, base_url: str | None) -> None:
    """Valid URLs are normalized; a normalized URL does not change again."""
    expected = text if base_url is None else base_url
    assert normalize_base_url(text) == expected
    assert normalize_base_url(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "dashscope.aliyuncs.com",
        "dashscope.aliyuncs.com/api/v1",
        "dashscope.aliyuncs.com:443/api/v1",
        "//dashscope.aliyuncs.com/api/v1",
        "/api/v1",
        "cn-beijing",
        "https",
        "https:",
        "https:/",
        "https://",
        "https:///api/v1",
        "https://:443/api",
        "https:a.example",
        "ftp://a.example/api",
        "ws://127.0.0.1",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "httpss://a.example",
        "http://a.example/api",
        "http://dashscope.aliyuncs.com/api/v1",
        "http://8.8.8.8",
        "http://0.0.0.0",
        "http://100.64.0.1",
        "http://192.0.2.1",
        "http://198.18.0.1",
        "http://240.0.0.1",
        "http://255.255.255.255",
        "http://[::]",
        "http://[2001::1]",
        "http://[2001:db8::1]",
        "http://[2002:a00:1::]",
        "http://[64:ff9b::a00:1]",
        "https://a..",
        "http://172.15.255.255",
        "http://172.32.0.1",
        "http://192.169.0.1",
        "http://[2001:4860:4860::8888]",
        "http://[::ffff:8.8.8.8]",
        "http://localhost.a.example",
        "http://a.localhost.example",
        "http://notlocalhost",
        "http://127.0.0.1.a.example",
        "http://2130706433",
        "http://0x7f000001",
        "http://user@127.0.0.1",
        "https://user:password@a.example",
        "https://user@a.example",
        "https://:password@a.example",
        "https://127.0.0.1@a.example",
        "https://a.example/api?region=cn",
        "https://a.example/api?a",
        "https://a.example/quotas?page_no=1",
        "https://a.example/api#fragment",
        "https://a.example:65536/api",
        "https://a.example:99999/api",
        "https://a.example:-1/api",
        "https://a.example:port/api",
        "https://a.example:4 43/api",
        f"https://{'a' * 70}.example",
        f"https://a.{'b' * 64}.example",
        "https://a..example",
        "https://.a.example",
        "https://a b.example",
        "https://a.example /api",
        "https://a.example/api v1",
        "https://a.example/a\tb",
        "https://a.exam\nple/api",
        "https://a.example\x00/api",
        "https://a\x00.example/api",
        "https://a.example\\@b.example",
        "https://[::1",
        "https://[localhost]",
        "https://[1.2.3.4]",
    ],
    ids=short,
)
def test_invalid_base_url(text: str) -> None:
    """Invalid URLs are rejected, as are unencrypted ones in a public network."""
    with pytest.raises(InvalidURLError, match=r"\ANot (a (base )?URL|encrypted)\Z"):
        normalize_base_url(text)


@pytest.mark.parametrize("base_url", REGIONS.values(), ids=REGIONS)
def test_regions(base_url: str) -> None:
    assert normalize_base_url(base_url) == base_url
    assert base_url.startswith("https://")
    assert base_url.endswith(".aliyuncs.com/api/v1")


def test_default_region() -> None:
    assert REGIONS[DEFAULT_REGION] == "https://dashscope.aliyuncs.com/api/v1"


@pytest.mark.parametrize("region", WORKSPACE_REGIONS)
@pytest.mark.parametrize(
    ("workspace_id", "label"),
    [
        ("llm-8q2v5kx0r7t1m3zc", "llm-8q2v5kx0r7t1m3zc"),
        ("  llm-8q2v5kx0r7t1m3zc\n", "llm-8q2v5kx0r7t1m3zc"),
        ("LLM-8Q2V", "llm-8q2v"),
        ("7", "7"),
        ("a" * 63, "a" * 63),
    ],
)
def test_workspace_base_url(workspace_id: str, label: str, region: str) -> None:
    base_url = workspace_base_url(workspace_id, region)
    assert base_url == f"https://{label}.{region}.maas.aliyuncs.com/api/v1"
    assert normalize_base_url(base_url) == base_url


@pytest.mark.parametrize(
    "workspace_id",
    [
        "",
        " ",
        "llm_1",
        "llm 1",
        "llm.1",
        "llm/1",
        "llm:1",
        "llm@1",
        "llm#1",
        "llm?1",
        "llm\n1",
        "-llm",
        "llm-",
        "a" * 64,
        "lİm",
        "模型",
        "https://llm-1.cn-beijing.maas.aliyuncs.com",
        "a.example/#",
    ],
    ids=short,
)
def test_invalid_workspace(workspace_id: str) -> None:
    """Input that could redirect the API key to another host is rejected."""
    with pytest.raises(InvalidWorkspaceError, match=r"\ANot a workspace ID\Z"):
        workspace_base_url(workspace_id, DEFAULT_REGION)


def test_balance_endpoints() -> None:
    """The region decides which site comes first."""
    china, international = BALANCE_ENDPOINTS
    assert balance_endpoints("cn-beijing") == (china, international)
    assert balance_endpoints("cn-hongkong") == (china, international)
    assert balance_endpoints("ap-southeast-1") == (international, china)


def test_currencies() -> None:
    """Prices in Beijing are in CNY; those in all other regions are in USD.

    At other hosts, they can be in either.
    """
    assert {
        region: price_currency(base_url) for region, base_url in REGIONS.items()
    } == {
        "cn-beijing": "CNY",
        "ap-southeast-1": "USD",
        "us-east-1": "USD",
        "cn-hongkong": "USD",
    }
    assert [
        region
        for region in WORKSPACE_REGIONS
        if price_currency(workspace_base_url("llm-1", region)) == "CNY"
    ] == ["cn-beijing"]
    assert price_currency("https://dashscope.aliyuncs.com") == "CNY"
    for other in (
        "https://proxy.example/dashscope.aliyuncs.com/",
        "https://dashscope.aliyuncs.com.proxy.example/",
        "https://evilaliyuncs.com/api/v1",
        # Other hosts of the vendor, which may be of either site.
        "https://vpc-cn-beijing.dashscope.aliyuncs.com/api/v1",
        "https://dashscope-finance.aliyuncs.com/api/v1",
        "https://a.llm-1.cn-beijing.maas.aliyuncs.com/api/v1",
        "http://127.0.0.1:8000/api/v1",
    ):
        assert price_currency(other) is None


def test_sites() -> None:
    """The China site has the default host and those of Beijing."""
    for base_url, is_china in (
        (REGIONS[DEFAULT_REGION], True),
        (workspace_base_url("llm-1", "cn-beijing"), True),
        ("https://vpc-cn-beijing.dashscope.aliyuncs.com/api/v1", True),
        (REGIONS["ap-southeast-1"], False),
        (workspace_base_url("llm-1", "ap-southeast-1"), False),
        ("/api/v1", False),
    ):
        assert is_china_site(base_url) is is_china


def test_trusted_url() -> None:
    """It is normalized as any other. It is the vendor's or at the endpoint's host."""
    endpoint = "https://127.0.0.1/openapi"
    for url in (
        "https://cn-beijing.log.aliyuncs.com/prometheus",
        "http://127.0.0.1:9090",
    ):
        assert trusted_url(f" {url}/ ", endpoint) == url
    for other in (
        "https://aliyuncs.com.example/prometheus",
        "https://evilaliyuncs.com/prometheus",
        "http://127.0.0.2:9090",
        "not a URL",
    ):
        with pytest.raises(InvalidURLError):
            trusted_url(other, endpoint)
