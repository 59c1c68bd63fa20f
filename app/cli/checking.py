"""What a store found when it looked at itself, as people read it."""

import typer

from app.cli.words import count
from index.records import CheckReport


def tell_problems(report: CheckReport) -> str:
    """Print the problems that the report has, and return the state in a word or two."""
    for problem in report.problems:
        typer.echo(problem)
    if more := report.problems_in_all - len(report.problems):
        typer.echo(f"and {more} more")
    return "clean" if report.clean else count(report.problems_in_all, "problem")
