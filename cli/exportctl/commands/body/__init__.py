"""What commands do, behind their declarations: everything here may import the heavy rooms at its top.

A declaration (`commands/run.py`) imports its body only when the command runs, so that `--help` and completion stay
light.
"""

import sys
from types import ModuleType

# httpx imports its own command line wherever rich and click are installed, which typer brings: a third of what a
# command takes to begin (tests/bench/startup.py). Where that module has no `main` httpx goes without.
sys.modules.setdefault("httpx._main", ModuleType("httpx._main"))
