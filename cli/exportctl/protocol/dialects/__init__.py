"""Dialects: what each generation of server says, turned into the events of `protocol.events`."""
