"""exportctl: start an export, follow it, and leave one verified archive on disk."""

__version__ = "0.1.0"
