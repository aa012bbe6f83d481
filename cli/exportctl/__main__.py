"""The way in: `exportctl`, and `python -m exportctl`."""

import sys


def main() -> int:
    """Run the command line and return the exit status."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from exportctl import __version__  # noqa: PLC0415 - answered before anything else is imported

        sys.stdout.write(f"exportctl {__version__}\n")
        return 0
    from exportctl.commands.app import run  # noqa: PLC0415 - as above

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
