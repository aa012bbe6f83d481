"""The sinks: what becomes of lines. Bars, plain text, NDJSON and the events file see the same stream, and nothing else.

A line only updates a sink; a ticker draws. May import `model` and nothing else of ours.
"""
