"""The Docker engine that the deployment's tests build and run with."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
# A script that brings up an engine, for machines where none runs by itself.
ENGINE_SCRIPT = "REID_DOCKER_ENGINE"


def run(*command: str, env: dict[str, str] | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command at the repository's root; what it printed is in the failure."""
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "DOCKER_BUILDKIT": "0", **(env or {})}, capture_output=True, text=True
    )
    if check and done.returncode:
        raise RuntimeError(
            f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    return done


def compose() -> tuple[str, ...]:
    """Return the compose command, version 1 or 2; empty when there is neither."""
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    plugin = shutil.which("docker") and run("docker", "compose", "version", check=False).returncode == 0
    return ("docker", "compose") if plugin else ()


def missing() -> str | None:
    """Return why nothing can be built here, or None."""
    if script := os.environ.get(ENGINE_SCRIPT):
        run(script)
    if not shutil.which("docker"):
        return f"there is no docker command; {ENGINE_SCRIPT} may name a script that brings it"
    if run("docker", "info", check=False).returncode:
        return f"no Docker engine answers; {ENGINE_SCRIPT} may name a script that starts one"
    if not compose():
        return "there is neither docker-compose nor the compose plugin"
    return None


def build(dockerfile: str, tag: str, *arguments: str) -> None:
    """Build an image; the host's network, because pip may need what only the host reaches."""
    run("docker", "build", "--network", "host", "--file", f"docker/{dockerfile}", "--tag", tag, *arguments, ".")
