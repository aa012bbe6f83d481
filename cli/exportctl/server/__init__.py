"""The export server: routes, sockets, sign-in, job engine, stages, archive and event log.

It speaks protocol 2 (``WIRE.md``). Nothing outside this room imports it but `serve` and the embedded run, and those
import its modules where they need them: this package itself imports nothing, so that naming it costs nothing.

The rooms within, from the inside out::

    job.py       the facts of one job, and its life cycle
    log.py       the event log: an event is durable here before anyone is told of it
    cursor.py    the one way to read it: subscriptions and long polls pull
    crew.py      worker processes that end with the server
    pool.py      their work, fair over jobs, that can be taken back
    archive.py   an append-only ZIP
    pipeline.py  one job: plan, steps, archive; beside it progress.py, files.py, failures.py
    engine.py    all jobs: queue, start, cancel, history
    auth.py, answers.py, routes/, sockets.py   the wire
    app.py, run.py, __main__.py                the process
"""
