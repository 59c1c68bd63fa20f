"""The load: clients that ask one query after the other, in a process of their own.

python -m benchmarks.load HOST PORT CLIENTS SECONDS GALLERY FOLDER: prints a `Load` as JSON.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.wire import Connection, post


@dataclass(frozen=True, slots=True)
class Load:
    """What clients saw: the latency of each answer in seconds, and answers per second of all together."""

    latencies: list[float]
    rate: float


async def client(host: str, port: int, requests: list[bytes], seconds: float) -> Load:
    """Ask until the time is over, each question after the answer to the last one."""
    connection = await Connection.open(host, port)
    latencies: list[float] = []
    begin = now = time.perf_counter()
    while now < begin + seconds:
        started = now
        await connection.ask(requests[len(latencies) % len(requests)])
        now = time.perf_counter()
        latencies.append(now - started)
    await connection.close()
    return Load(latencies, len(latencies) / (now - begin))


async def run(host: str, port: int, clients: int, seconds: float, requests: list[bytes]) -> Load:
    """Run the clients side by side, each beginning with another picture."""
    turned = [requests[start % len(requests) :] + requests[: start % len(requests)] for start in range(clients)]
    found = await asyncio.gather(*(client(host, port, each, seconds) for each in turned))
    return Load([latency for each in found for latency in each.latencies], sum(each.rate for each in found))


def main() -> None:
    host, port, clients, seconds, gallery, folder = sys.argv[1:]
    pictures = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    requests = [post("/query", [picture], {"gallery": gallery}) for picture in pictures]
    load = asyncio.run(run(host, int(port), int(clients), float(seconds), requests))
    json.dump(asdict(load), sys.stdout)


if __name__ == "__main__":
    main()
