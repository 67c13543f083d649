"""``python -m spillover``: the command line."""

from spillover.cli import main

main()
