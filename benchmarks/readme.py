"""The answers in the README, from the real service: python -m benchmarks.readme writes them there.

Types what `reid demo` says to type, on an empty gallery with the active model version, and puts lines and answers into
the README's console block.
"""

import json
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from benchmarks.server import REID, Served, environment, served

README = Path(__file__).parent.parent / "README.md"
ADDRESS = "http://127.0.0.1:8000"
BLOCK = re.compile(r"(?<=```console\n)\$ curl.*?(?=```)", re.DOTALL)
WIDTH = 118


def answer(line: str, service: Served, folder: Path) -> str:
    """Return what a `$ curl` line answers, broken at spaces."""
    command = shlex.split(line.removeprefix("$ ").replace(ADDRESS, f"http://{service.host}:{service.port}"))
    done = subprocess.run([*command, "--silent", "--show-error"], cwd=folder, stdout=subprocess.PIPE, check=True)
    return textwrap.fill(json.dumps(json.loads(done.stdout)), WIDTH, break_long_words=False, break_on_hyphens=False)


def session(folder: Path) -> str:
    """Return the lines that `reid demo` names, and an erasure, each with its answer."""
    data_dir = folder / "data"
    demo = [*REID, "demo"]
    told = subprocess.run(demo, cwd=folder, env=environment(data_dir), stdout=subprocess.PIPE, check=True, text=True)
    lines = [f"$ {line.strip()}" for line in told.stdout.splitlines() if line.startswith("  curl")]
    identity = re.search(r"identity=(\S+)", lines[0])
    assert identity is not None
    lines.append(f"$ curl -X DELETE {ADDRESS}/identities/{identity[1]}")
    with served(data_dir) as service:
        return "".join(f"{line}\n{answer(line, service, folder)}\n" for line in lines)


def main() -> None:
    text = README.read_text(encoding="utf-8")
    found = BLOCK.search(text)
    if found is None:
        sys.exit("expected a console block that begins with $ curl in README.md, found none")
    with tempfile.TemporaryDirectory(prefix="reid-readme-") as folder:
        block = session(Path(folder))
    README.write_text(text[: found.start()] + block + text[found.end() :], encoding="utf-8")


if __name__ == "__main__":
    main()
