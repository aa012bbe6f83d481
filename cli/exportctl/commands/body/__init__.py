"""What commands do, behind their declarations: everything here may import the heavy rooms at its top.

A declaration (`commands/run.py`) imports its body only when the command runs, so that `--help` and completion stay
light.
"""
