"""The client of an export server: HTTP API, socket, the follower that merges them, the download.

It starts the embedded server's process, tells lines and raises `model.errors`; it draws nothing and prints nothing. May
import `model` and `protocol`.
"""
