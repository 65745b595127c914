"""Readiness: each part is asked at the same time, and none for longer than its limit."""

import anyio
import pytest

from api.health import find_missing
from models.errors import S3DownloadError


async def answer() -> None:
    """A part that is there."""


async def refuse() -> None:
    """A part that is away."""
    raise S3DownloadError("S3 unreachable at a secret address.")


async def hang() -> None:
    """A part that accepts a connection and says nothing."""
    await anyio.sleep_forever()


def test_all_that_is_missing_is_named_in_order() -> None:
    checks = {"PostgreSQL": hang, "S3": refuse, "Prefect": answer, "more": hang}

    async def look() -> list[str]:
        return await find_missing(checks, limit_s=0.05)

    assert anyio.run(look) == ["PostgreSQL", "S3", "more"]


def test_nothing_is_missing_where_all_answer() -> None:
    async def look() -> list[str]:
        return await find_missing({"S3": answer, "Prefect": answer})

    assert anyio.run(look) == []


def test_an_error_that_is_none_of_ours_is_not_swallowed() -> None:
    async def fail() -> None:
        raise RuntimeError

    async def look() -> list[str]:
        return await find_missing({"S3": fail})

    with pytest.raises(ExceptionGroup):
        anyio.run(look)
