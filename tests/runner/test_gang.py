"""The desk between a driver and its workers, and what a gang refuses; without Ray."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

import runner.workers
from runner import stops
from runner.gang import Gang, _Desk
from tests.runner.cells import JobOf, PlanOne
from xmft.errors import RequestError


def test_a_worker_waits_for_its_cell_and_the_driver_for_the_result() -> None:
    async def talk() -> None:
        desk = _Desk()
        assert await desk.order(0, 0.01) is None
        waiting = asyncio.create_task(desk.order(0, 10))
        await asyncio.sleep(0)
        await desk.put(1, "cell", 4)  # type: ignore[arg-type]
        assert await waiting == (1, "cell", 4)
        assert await desk.order(1, 0.01) is None  # nobody takes a cell twice
        assert await desk.result(1, 0.01) == (True, None)
        assert await desk.result(2, 0.01) == (False, None)
        result = asyncio.create_task(desk.result(1, 10))
        await asyncio.sleep(0)
        await desk.finish(1, "scores")
        assert await result == (True, "scores")
        await desk.put(2, None, None)
        assert await desk.order(1, 0.01) == (2, None, None)

    asyncio.run(asyncio.wait_for(talk(), 20))


@pytest.mark.parametrize(
    "answers, ends",
    [(["", "end"], True), ([ConnectionError("the desk is gone")], True), (["", "stop"], False)],
)
def test_a_worker_ends_when_nobody_wants_it(
    answers: list[Any], ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(BaseException):
        pass

    told = iter(answers)

    def get(*_: object, **__: object) -> Any:
        answer = next(told, Ended("no more"))
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def leave(code: int) -> None:
        raise Ended(code)

    class Desk:
        class word:
            remote = staticmethod(lambda: None)

    monkeypatch.setattr(runner.workers, "_LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(runner.workers.ray, "get", get)
    monkeypatch.setattr(runner.workers.os, "_exit", leave)
    try:
        with pytest.raises(Ended) as ended:
            runner.workers._watch(Desk)
        assert ended.value.args == ((1,) if ends else ("no more",))
        assert stops.requested() != ends
    finally:
        stops.clear()


def test_cells_that_a_gang_cannot_train_are_refused(plan_one: PlanOne, job_of: JobOf) -> None:
    gang = Gang(workers=2, threads=1, gpus=0.5, storage="")
    with pytest.raises(RequestError, match=r"is for 3 workers, these are 2\."):
        gang.runner(job_of(plan_one(), workers=3))
    shared = replace(job_of(plan_one(), workers=2), sharding="fsdp")
    with pytest.raises(RequestError, match=r"Give each worker a GPU, or use sharding ddp\."):
        gang.runner(shared)
    gang.close()  # nothing has started
