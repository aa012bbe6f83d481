"""What can be wrong with the store, for whoever does without it then."""


class Unusable(Exception):
    """The database cannot be used now; `str` says why, for the user."""
