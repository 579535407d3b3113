"""`python -m tensorshark.tui`: the same as the `tensorshark` command."""

from tensorshark.tui.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
