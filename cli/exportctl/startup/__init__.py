"""What is answered before the command line is built: help, completions and the scripts of the shells.

May import nothing but what the interpreter has loaded by itself when it starts (`os`, `sys`), and nothing of ours:
every module here is paid for at each press of the tab key. The answers are text files, so that no bytecode is needed:
`help/` as typer prints it and `tables/` for the completions, both written by `python -m exportctl.commands.prepare`
from the commands themselves and kept equal by a test; `shells/` by hand. What is not answered here goes to
`commands`, which says the same.
"""
