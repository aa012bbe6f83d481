"""One short module per command: its declaration for typer. What it does lies in `body/`, imported when it runs.

May import every other room, but at its top nothing that reaches the network: `--help` and completion must stay light.
"""
