"""The rows of the limits answer of `GET /quotas`, which lists all models."""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from itertools import count, islice
from random import Random
from typing import Any

WORKSPACE_ID = "llm-8q2v5kx0r7t1m3zc"

# Models in the limits answer besides those of the account, by kind.
FAMILIES = {
    "text": (
        "qwen-flash",
        "qwen-long",
        "qwen-coder-plus",
        "qwen-coder-turbo",
        "qwen-math-plus",
        "qwen-mt-plus",
        "qwen-mt-turbo",
        "qwen-vl-plus",
        "qwen-vl-ocr",
        "qwen-omni-turbo",
        "qwen-audio-turbo",
        "qwq-plus",
        "qvq-max",
        "qvq-plus",
        "qwen3-max",
        "qwen3-235b-a22b",
        "qwen3-30b-a3b",
        "qwen3-32b",
        "qwen3-14b",
        "qwen3-8b",
        "qwen3-coder-flash",
        "qwen3-vl-plus",
        "qwen3-vl-flash",
        "qwen3-omni-flash",
        "qwen2.5-72b-instruct",
        "qwen2.5-32b-instruct",
        "qwen2.5-7b-instruct",
        "deepseek-v3",
        "deepseek-r1",
        "deepseek-v3.1",
        "deepseek-v3.2-exp",
        "deepseek-r1-distill-qwen-32b",
        "glm-4.5",
        "kimi-k2-instruct",
    ),
    "embedding": (
        "text-embedding-v1",
        "text-embedding-v2",
        "text-embedding-v3",
        "multimodal-embedding-v1",
        "gte-rerank-v2",
        "qwen3-rerank",
    ),
    "media": (
        "wan2.1-t2v-turbo",
        "wan2.2-t2v-plus",
        "wan2.2-i2v-plus",
        "wan2.5-t2v-preview",
        "wan2.5-i2v-preview",
        "wan2.2-t2i-flash",
        "qwen-image",
        "qwen-image-edit",
        "qwen3-tts-flash",
        "paraformer-v2",
    ),
}


def limit(
    requests: int,
    *,
    period: int = 60,
    usage: int | None = None,
    queue: int | None = None,
    concurrency: int | None = None,
) -> dict[str, Any]:
    """Return a limit of a quota row; `period` is in seconds, `usage` in tokens."""
    return {
        "request_limit": requests,
        "request_limit_period": period,
        "usage_limit": usage,
        "usage_limit_field": None if usage is None else "total_tokens",
        "usage_limit_period": None if usage is None else period,
        "async_user_queue_limit": queue,
        "async_user_concurrency_limit": concurrency,
    }


def quota(
    name: str, limit: dict[str, Any], workspace: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a row of the limits answer."""
    return {
        "model": name,
        "workspace_id": WORKSPACE_ID,
        "model_limit": limit,
        "workspace_limit": workspace,
    }


@cache
def rows(seed: int, number: int) -> tuple[dict[str, Any], ...]:
    """Return so many rows of models; callers must not change them."""
    return tuple(islice(_endless_rows(seed), number))


def _endless_rows(seed: int) -> Iterator[dict[str, Any]]:
    """Yield the families, their latest versions, then endless dated versions.

    Some models have a limit per minute and one per second, and either may be the
    tighter one. Some models have a lower limit in the workspace than in the account.
    """
    for version in count():
        suffix = ("", "-latest")[version] if version < 2 else _snapshot(version)
        for kind, families in FAMILIES.items():
            for family in families:
                yield from _quotas_of(f"{family}{suffix}", kind, seed)


def _snapshot(version: int) -> str:
    """Return the suffix of a dated version."""
    return f"-{date(2023, 11, 2) + version * timedelta(days=41)}"


def _quotas_of(name: str, kind: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of one model."""
    random = Random(f"{seed}:{name}")
    if kind == "media":
        yield quota(
            name,
            limit(
                random.choice((1, 2, 5, 10)),
                period=1,
                queue=random.choice((100, 500)),
                concurrency=random.choice((1, 2, 5)),
            ),
        )
        return
    rpm = random.choice((60, 120, 600, 1200, 3000))
    tpm = rpm * random.choice((500, 1000, 2000))
    shared = random.random() < 0.15
    yield quota(
        name,
        limit(rpm, usage=tpm),
        limit(rpm // 2, usage=tpm // 2) if shared else None,
    )
    if random.random() < 0.25:
        per_second = max(1, int(rpm / 60 * random.choice((0.5, 2))))
        yield quota(name, limit(per_second, period=1))
