"""The way in: `exportctl`, and `python -m exportctl`."""

import sys


def main() -> int:
    """Run the command line and return the exit status."""
    # Each import waits until it is needed: what can be answered without a command line library is (docs/startup.md).
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from exportctl import __version__  # noqa: PLC0415 - as said
        from exportctl.startup.answers import say  # noqa: PLC0415 - as said

        return say(f"exportctl {__version__}\n")
    from exportctl.startup.answers import answer  # noqa: PLC0415 - as said

    status = answer(arguments)
    if status is not None:
        return status
    from exportctl.commands.app import run  # noqa: PLC0415 - as said

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
