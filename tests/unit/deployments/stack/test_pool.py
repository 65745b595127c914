"""The work pool: made with its limit, and an older one of the embedded server brought to it."""

import json
from typing import Any

import httpx
import pytest

from deployments.names import WORK_POOL
from deployments.stack.prefect import RUN_LIMIT, read_pool_template, settle_pool
from models.errors import StackError


class PoolServer:
    """As much of Prefect's API as the pool needs."""

    def __init__(self, pool: dict[str, Any] | None, refusal: int | None = None) -> None:
        self.pool = pool
        self.refusal = refusal
        self.asked: list[str] = []
        self.advice: str | None = None

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.method)
        if request.method == "GET":
            return httpx.Response(200, json=self.pool) if self.pool else httpx.Response(404)
        if self.refusal:
            return httpx.Response(self.refusal, text="no")
        self.pool = {**(self.pool or {}), **json.loads(request.content)}
        return httpx.Response(201, json=self.pool)

    def settle(self, *, embedded: bool) -> dict[str, Any] | None:
        transport = httpx.MockTransport(self.answer)
        with httpx.Client(transport=transport, base_url="http://prefect/api/") as client:
            self.advice = settle_pool(client, embedded=embedded)
        return self.pool


@pytest.mark.parametrize("embedded", [True, False])
def test_a_missing_pool_is_made_with_the_limit_and_the_template(embedded: bool) -> None:
    made = PoolServer(None).settle(embedded=embedded)
    template = read_pool_template()
    assert made == {
        "name": WORK_POOL,
        "type": "process",
        "concurrency_limit": RUN_LIMIT,
        "base_job_template": template,
    }
    assert "{{" not in json.dumps(template)  # a run's job_variables have nothing to fill in


@pytest.mark.parametrize(
    ("limit", "embedded", "after"),
    [(None, True, RUN_LIMIT), (None, False, None), (7, True, 7), (0, True, 0)],
)
def test_an_older_pool_gets_the_limit_only_if_it_is_ours_and_has_none(
    limit: int | None, embedded: bool, after: int | None
) -> None:
    known = {"name": WORK_POOL, "type": "process", "base_job_template": read_pool_template()}
    server = PoolServer({**known, "concurrency_limit": limit})
    pool = server.settle(embedded=embedded)
    assert pool is not None
    assert pool["concurrency_limit"] == after
    assert server.asked == (["GET", "PATCH"] if limit != after else ["GET"])
    assert server.advice is None


def test_an_older_pool_gets_the_template_only_if_it_is_ours_and_else_a_person_is_told() -> None:
    older = {"job_configuration": {"command": "{{ command }}"}, "variables": {}}
    pool = {"name": WORK_POOL, "type": "process", "concurrency_limit": 2}
    ours = PoolServer({**pool, "base_job_template": older})
    settled = ours.settle(embedded=True)
    assert settled is not None
    assert settled["base_job_template"] == read_pool_template()
    assert (ours.asked, ours.advice) == (["GET", "PATCH"], None)

    theirs = PoolServer({**pool, "base_job_template": older})
    assert theirs.settle(embedded=False) == {**pool, "base_job_template": older}
    assert theirs.asked == ["GET"]
    assert theirs.advice is not None
    assert "prefect work-pool update facepass --base-job-template" in theirs.advice
    containers = PoolServer({**pool, "type": "docker", "base_job_template": older})
    containers.settle(embedded=False)
    assert containers.advice is None


def test_another_stack_may_be_faster_and_a_refusal_is_told() -> None:
    PoolServer(None, refusal=409).settle(embedded=True)
    with pytest.raises(StackError, match=r"cannot be set up at http://prefect/api/: 403 no"):
        PoolServer(None, refusal=403).settle(embedded=True)
