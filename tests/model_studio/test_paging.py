"""Lists in pages. Tests of the quotas and the prices read whole lists."""

import pytest

from custom_components.alibaba_cloud.model_studio.paging import Page, read_pages


@pytest.mark.parametrize("items", [(), (1,), (1, 2, 3)])
async def test_each_row_of_a_page_has_an_item(items: tuple[int, ...]) -> None:
    async def get_page(_number: int) -> Page[int]:
        return Page(rows=("1", "2"), items=items, total=len(items))

    with pytest.raises(ValueError, match=r"is (shorter|longer) than"):
        await read_pages("numbers", get_page)
