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
    import signal  # noqa: PLC0415 - as said

    from exportctl.startup.streams import keep_open, let_go  # noqa: PLC0415 - as said

    keep_open()
    # Until a command looks for signals itself Ctrl-C ends it by the signal: an exception would be a traceback, or be
    # lost where the interpreter ignores it, in the middle of an import. What is ignored (nohup) stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from exportctl.commands.app import run  # noqa: PLC0415 - as said

    status = run(arguments)
    let_go()
    return status


if __name__ == "__main__":
    sys.exit(main())
