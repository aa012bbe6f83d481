"""What this machine knows of jobs: one SQLite database in the state folder, shared by all commands at once.

It is a convenience, never a condition: whatever is wrong with it is `Unusable`, which the caller says once and does
without. No secret is ever handed to it. `database` is the file and its mishaps, `schema` its tables, `jobs` the facts
in it; sqlite3 is imported where it is used, since help and completion do without.
"""
