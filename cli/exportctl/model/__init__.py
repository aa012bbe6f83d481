"""What an export is to this client: its state, the lines that tell its story, and the errors that end it.

Pure: no socket, clock, file or await; time and chance are arguments. May import `protocol` and nothing else of ours.
"""
