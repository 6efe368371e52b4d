"""Sizes and durations: what is none is said, however it is written."""

import pytest

from shipper.units import ByteSize, Share


@pytest.mark.parametrize("text", ["9" * 400, "9" * 400 + "GiB", "GiB", "-1", "1 XiB", ""])
def test_a_size_that_is_none_is_a_value_error(text: str) -> None:
    for read in (ByteSize.parse, Share.parse):
        with pytest.raises(ValueError, match="size"):
            read(text)
