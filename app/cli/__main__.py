"""`python -m app.cli` is `reid`."""

from app.cli.program import main

main()
