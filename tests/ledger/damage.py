"""Damaged stored values, as after an interrupted write or an edit by hand."""

from typing import Any, Final

from hypothesis import strategies as st

JUNK: Final = st.sampled_from(
    [
        *(None, True, 0, -1, 1.5, [], ["x"], {}, {"x": 1}),
        *("", "x", "NaN", "-1", "1e9"),
        *("2026-08-15", "2026-08-15T12:00:00", "2026-08-15T12:00:00+08:00"),
    ]
)


@st.composite
def damaged(draw: st.DrawFn, value: Any) -> Any:
    """Return a copy of a stored value in which some part was removed or replaced."""
    if not isinstance(value, dict) or not value or not draw(st.integers(0, 5)):
        return draw(JUNK)
    changed = dict(value)
    key = draw(st.sampled_from(sorted(changed)))
    match draw(st.sampled_from(["inside", "inside", "drop", "rename"])):
        case "inside":
            changed[key] = draw(damaged(changed[key]))
        case "drop":
            del changed[key]
        case _:
            changed[draw(st.text(max_size=4))] = changed.pop(key)
    return changed
