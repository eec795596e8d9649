"""The validation of the flows' input, with generated input and examples."""

from string import ascii_lowercase, digits
from typing import Any

from hypothesis import example, given, strategies as st
import pytest
from yarl import URL

from custom_components.alibaba_cloud.model_studio import REGIONS, WORKSPACE_REGIONS
from custom_components.alibaba_cloud.schemas import default_title, place_of, region_of
from custom_components.alibaba_cloud.validation import (
    is_same_account,
    validate_access_key,
    validate_credentials,
    validate_models,
    validate_url,
    validate_workspace,
)

from .common import errors_of

TEXT = st.text() | st.text(alphabet="ah:/.@?#[]%1 \\\n")
HOSTS = st.from_regex(
    r"[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?(\.[a-z]{2,6}){1,3}", fullmatch=True
)
KEYS = st.text(alphabet=ascii_lowercase + digits, min_size=1)
BLANKS = st.text(alphabet=" \t\n", max_size=3)
WORKSPACES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(text=TEXT | HOSTS.map("http://{}".format))
@example(text="https://[::1")
@example(text="https://127.0.0.1:99999")
def test_url_is_usable_or_refused(text: str) -> None:
    """An accepted URL uses HTTPS or has a local or numeric host."""
    if errors := errors_of(validate_url, text):
        assert errors == {"url": "invalid_url"}
        return
    url = URL(validate_url(text))
    assert url.host
    assert (
        url.scheme == "https"
        or url.host in ("localhost", "::1", "::")
        or (url.host.replace(".", "").isdigit())
    )
    assert url.user is url.password is None
    assert not (url.query_string or url.fragment)


@given(host=HOSTS, path=st.sampled_from(["", "/api/v1", "/a/b"]), blanks=BLANKS)
def test_url(host: str, path: str, blanks: str) -> None:
    for end in ("", "/", "/quotas", "/quotas/"):
        url = validate_url(f"{blanks}https://{host}{path}{end}{blanks}")
        assert url == f"https://{host}{path}"
    assert place_of(url) == ("url", {"url": url})
    assert region_of(url) == "cn-beijing"
    assert default_title(url) == f"Model Studio ({host})"


@given(
    workspace_id=WORKSPACES, region=st.sampled_from(WORKSPACE_REGIONS), blanks=BLANKS
)
def test_workspace(workspace_id: str, region: str, blanks: str) -> None:
    """A workspace URL yields the workspace ID and the region that were entered."""
    url = validate_workspace(f"{blanks}{workspace_id.upper()}{blanks}", region)
    assert place_of(url) == (
        "workspace",
        {"workspace_id": workspace_id, "region": region},
    )
    assert region_of(url) == region
    assert default_title(url) == f"Model Studio ({workspace_id}.{region})"


@given(text=TEXT.filter(lambda text: not text.strip().isalnum()))
@example(text="evil.example/")
def test_what_is_no_workspace(text: str) -> None:
    if errors := errors_of(validate_workspace, text, "cn-beijing"):
        assert errors == {"workspace_id": "invalid_workspace_id"}
    else:
        host = URL(validate_workspace(text, "cn-beijing")).host or ""
        assert host.endswith(".cn-beijing.maas.aliyuncs.com")


@pytest.mark.parametrize(("region", "url"), REGIONS.items())
def test_region(region: str, url: str) -> None:
    assert place_of(url) == (region, {})
    assert region_of(url) == region
    assert default_title(url) == f"Model Studio ({region})"


@given(host=HOSTS, key=KEYS, other=KEYS)
def test_same_account(host: str, key: str, other: str) -> None:
    """Two accounts are the same if the key and the host match, in any spelling."""
    one = {"base_url": f"https://{host}/api/v1", "api_key": key}
    for again in (host.upper(), f"{host}.", f"{host}:443"):
        assert is_same_account(one, {**one, "base_url": f"https://{again}/api/v2"})
    assert is_same_account(one, {**one, "api_key": other}) is (key == other)
    assert not is_same_account(one, {**one, "base_url": f"https://a.{host}"})


def test_no_key_is_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANY", raising=False)
    data = {"base_url": "https://one.example", "api_key_env": "ANY"}
    assert not is_same_account(data, data)


@given(key=KEYS, blanks=BLANKS)
def test_credentials(key: str, blanks: str) -> None:
    typed = {"api_key": f"{blanks}{key}{blanks}"}
    assert validate_credentials(typed, {"api_key": "old"}) == {"api_key": key}
    kept = {"api_key": "old", "base_url": "https://one.example"}
    assert validate_credentials({"api_key": blanks}, kept) == {"api_key": "old"}
    assert validate_credentials({}, kept) == {"api_key": "old"}


@given(key_id=KEYS, secret=KEYS, blanks=BLANKS)
def test_access_key(key_id: str, secret: str, blanks: str) -> None:
    """A stored secret stays with its ID; half an AccessKey is invalid."""
    current = {"access_key_id": key_id, "access_key_secret": secret}
    typed = {"access_key_id": f"{blanks}{key_id}", "region": "cn-beijing"}
    stored = {**current, "region": "cn-beijing"}
    assert validate_access_key(typed, current) == stored
    assert validate_access_key({**typed, "access_key_secret": secret}, {}) == stored
    assert validate_access_key({"region": "cn-beijing"}, current) == {}
    for half, missing in (
        ({"access_key_id": key_id}, "access_key_secret"),
        ({"access_key_secret": secret}, "access_key_id"),
    ):
        errors = errors_of(validate_access_key, {**half, "region": "cn-beijing"}, {})
        assert errors == {missing: "access_key_incomplete"}


@pytest.mark.parametrize(
    ("all_models", "models", "current", "followed"),
    [
        (True, [], [], []),
        (True, ["a"], [], ["a"]),
        (True, ["a"], ["a"], []),
        (True, ["b"], ["a"], []),
        (False, ["a"], [], ["a"]),
        (False, ["b"], ["a"], ["b"]),
    ],
    ids=[
        "left as it was",
        "selected although the switch was left on",
        "switched on",
        "selected and switched on",
        "switched off and selected",
        "selected",
    ],
)
def test_models(
    all_models: bool, models: list[str], current: list[str], followed: list[str]
) -> None:
    """A change of the switch or of the selection is applied."""
    typed = {"all_models": all_models, "models": models}
    assert validate_models(typed, current) == followed


@pytest.mark.parametrize("typed", [{}, {"models": []}])
def test_no_models(typed: dict[str, Any]) -> None:
    errors = errors_of(validate_models, {"all_models": False, **typed}, ["a"])
    assert errors == {"models": "no_models_selected"}
