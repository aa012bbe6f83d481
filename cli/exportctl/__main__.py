"""The way in: `exportctl`, and `python -m exportctl`."""

import sys


def main() -> int:
    """Run the command line and return the exit status."""
    # Each import waits until it is needed: what can be answered without a command line library is (docs/startup.md).
    arguments = sys.argv[1:]
    from exportctl import __version__  # noqa: PLC0415 - as said

    if arguments == ["--version"]:
        from exportctl.startup.answers import say  # noqa: PLC0415 - as said

        return say(f"exportctl {__version__}\n")
    from exportctl.startup.answers import answer, says_yes  # noqa: PLC0415 - as said

    status = answer(arguments)
    if status is not None:
        return status
    from exportctl.startup.early import listen  # noqa: PLC0415 - as said
    from exportctl.startup.streams import keep_open, let_go  # noqa: PLC0415 - as said

    keep_open()
    wants_lines = not {"--ndjson", "--json"}.isdisjoint(arguments) or says_yes("EXPORTCTL_NDJSON")
    listen(arguments, version=__version__, ndjson=wants_lines)
    from exportctl.commands.app import run  # noqa: PLC0415 - as said

    status = run(arguments)
    let_go()
    return status


if __name__ == "__main__":
    sys.exit(main())
