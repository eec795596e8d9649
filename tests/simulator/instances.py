"""The Prometheus instances of an account, as CloudMonitor lists them."""

from collections.abc import Mapping
from typing import Any

from .account import Account, Instance, QueryError, positive

INSTANCES_PATH = "/prometheus-instances"
PAGE_SIZE = 20


def answer(
    account: Account, path: str, query: Mapping[str, str], request_id: str
) -> dict[str, Any]:
    """Return the list of instances, or the details of the one that a path names.

    Raises:
        QueryError: there is no such instance, or no such page.

    """
    if path == INSTANCES_PATH:
        return _page(account, query) | {"requestId": request_id}
    for instance in account.instances:
        if path == f"{INSTANCES_PATH}/{instance.id}":
            details = _row(instance) | {
                "authToken": instance.token,
                "enableAuthToken": "true",
                "httpApiInterUrl": instance.url,
                "httpApiIntraUrl": f"http://intranet.example/{instance.token}",
                "remoteWriteInterUrl": f"https://write.example/{instance.token}",
            }
            return {"requestId": request_id, "prometheusInstance": details}
    raise QueryError("Specified prometheus instance is not found")


def _page(account: Account, query: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of the list. The token of the next page is where it begins."""
    size = positive(query, "maxResults", PAGE_SIZE)
    start = positive(query, "nextToken", 1) - 1
    end = start + size
    page = {
        "maxResults": size,
        "totalCount": len(account.instances),
        "prometheusInstances": [_row(it) for it in account.instances[start:end]],
    }
    return page | ({"nextToken": str(end + 1)} if end < len(account.instances) else {})


def _row(instance: Instance) -> dict[str, Any]:
    """Return what the list says of an instance."""
    return {
        "prometheusInstanceId": instance.id,
        "prometheusInstanceName": instance.name,
        "regionId": instance.region,
        "product": "cms",
        "status": "Running",
        "supportAuthTypes": "AK",
        "userId": "1000000000000001",
        "version": "V2",
    }
