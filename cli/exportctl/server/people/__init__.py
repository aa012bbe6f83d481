"""Who may use the server: users with passwords, their sessions, their personal tokens, and how often one may guess.

One SQLite database, `people.sqlite3` in the state folder, readable by its owner alone. No secret is kept in it: of a
password its argon2 hash, of a token (random, 256 bits) its SHA-256. Statements are point look-ups of microseconds and
run in the event loop; only a password's hash, which is slow on purpose, is worked on beside it.
"""
