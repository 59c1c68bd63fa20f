import asyncio

import pytest

from app.errors import Overloaded, WorkerDied
from app.workers import Workers


@pytest.mark.parametrize("threads", [1, 2])
def test_too_many_calls_are_refused_at_once(threads: int) -> None:
    async def scenario() -> None:
        workers = Workers("search", threads, 0)
        release = asyncio.Event()
        loop = asyncio.get_running_loop()

        def block() -> None:
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)

        running = [asyncio.create_task(workers.run(block)) for _ in range(threads)]
        await asyncio.sleep(0.01)
        with pytest.raises(Overloaded, match=f"at most {threads} calls of search"):
            await workers.run(block)
        release.set()
        await asyncio.gather(*running)
        await workers.run(lambda: None)
        workers.close()

    asyncio.run(scenario())


def test_what_would_end_the_thread_ends_only_its_call() -> None:
    async def scenario() -> None:
        workers = Workers("decode", 1, 0)

        def die() -> None:
            raise SystemExit("planted")

        with pytest.raises(WorkerDied, match="decode"):
            await workers.run(die)
        assert await workers.run(lambda: 1) == 1
        workers.close()

    asyncio.run(scenario())
