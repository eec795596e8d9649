"""Broken answers: odd values in them, and bodies that are not JSON."""

from collections.abc import Iterator
import json
from typing import Any, Final, override

from hypothesis import strategies as st


class Raw(str):
    """JSON, or invalid JSON, that Python would not write."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        """Return the start and the length of the text."""
        return f"Raw({self[:20]!r}, {len(self)})"


RAW: Final = [
    Raw(text)
    for text in (
        "NaN",
        "Infinity",
        "-Infinity",
        "-0",
        "-0.0",
        "1e-320",
        "1e-400",
        "1e999",
        "1" + "0" * 18,
        "1" + "0" * 20,
        "-1" + "0" * 20,
        "9" * 400,
        "9" * 5000,
        "0." + "3" * 5000,
        '"\\ud800"',
        '"\\u0000"',
        "[" * 300 + "]" * 300,
        '{"a":' * 300 + "1" + "}" * 300,
        "[" * 3000 + "]" * 3000,
    )
]
"""JSON that has crashed parsers."""
TEXTS: Final = [
    "NaN",
    "sNaN",
    "-Infinity",
    "1e-320",
    "1e17",
    "1e1000000",
    "-1e1000000",
    "1e-1000000",
    "9" * 5000,
    "1_000",
    "1,000",
    "٣",
    "2026-02-30",
    "0001-01-01",
    "2026-W33-6",
    "Success",
    "Throttling",
]
"""Texts that have crashed parsers."""
EXTRAS: Final = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)
)
"""Values of fields that are ignored."""
ODD: Final = st.sampled_from([*RAW, *TEXTS, *TEXTS])
SCALARS: Final = st.one_of(EXTRAS, ODD)
JUNK: Final = st.one_of(
    EXTRAS,
    *(ODD.map(lambda value: value) for _ in range(6)),
    st.lists(SCALARS, max_size=3),
    st.dictionaries(st.text(max_size=4), SCALARS, max_size=3),
)


def written(value: Any) -> str:
    """Return a value as JSON. `Raw` can be invalid."""
    match value:
        case Raw():
            return str(value)
        case dict():
            pairs = (f"{json.dumps(key)}:{written(it)}" for key, it in value.items())
            return f"{{{','.join(pairs)}}}"
        case list():
            return f"[{','.join(map(written, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


FEW: Final = st.integers(1, 4)
WAYS: Final = st.sampled_from(["drop", "replace", "replace", "insert"])
KEYS: Final = st.one_of(
    st.text(max_size=4), st.sampled_from(["error", "code", "data", "models", "output"])
)
HOW: Final = st.sampled_from(
    ["broken", "damaged", "broken, damaged", "broken", "whole", "utf-16"]
)
POSITIONS: Final = st.integers(0, 2**16)
BYTES: Final = st.one_of(
    st.binary(max_size=2), st.sampled_from([b'"', b"0", b"-", b",", b"}", b"\xed\xa0"])
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the parent and the key of each nested value."""
    if isinstance(value, list | dict):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield value, key
            yield from places(item)


def copied(value: Any) -> Any:
    """Return a deep copy."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [*map(copied, value)] if isinstance(value, list) else value


def broken(draw: st.DrawFn, answer: Any) -> Any:
    """Remove, replace and insert values in a copy of an answer."""
    everything = [copied(answer)]
    for _ in range(draw(FEW)):
        found = [*places(everything)]
        place, key = found[draw(POSITIONS) % len(found)]
        match draw(WAYS):
            case "drop" if place is not everything:
                del place[key]
            case "insert" if isinstance(place, dict):
                place[draw(KEYS)] = draw(JUNK)
            case "insert":
                place.insert(key, draw(JUNK))
            case _:
                place[key] = draw(JUNK)
    return everything[0]


def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """Truncate a body, or change a few of its bytes."""
    if draw(st.booleans()):
        return body[: draw(POSITIONS) % (len(body) + 1)]
    edited = bytearray(body)
    for _ in range(draw(FEW)):
        start = draw(POSITIONS) % (len(edited) + 1)
        edited[start : start + draw(FEW) - 1] = draw(BYTES)
    return bytes(edited)


def body_of(draw: st.DrawFn, answer: Any) -> bytes:
    """Return the body of an answer, which can be broken or damaged."""
    how = draw(HOW)
    if "broken" in how:
        answer = broken(draw, answer)
    body = written(answer).encode("utf-16" if how == "utf-16" else "utf-8")
    return damaged(draw, body) if "damaged" in how else body
