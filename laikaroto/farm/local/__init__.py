"""The local engine: a queue for one machine that needs nothing but this package.

::

    client ── bundle or command file ──> inbox/ ──> supervisor ──pipe──> slot ──> payload
    client <── reply file ── replies/ <─────┘ │                          (OpenJD session)
    client <── reads ─────── queue.sqlite <───┘ the only writer

One supervisor per state folder holds a file lock and alone writes the database; while none
runs, a client takes the lock for a moment and files its own request. Slots are processes, one
task each, because OpenJD sessions cannot share one. Whatever dies, the next one up finishes
the books: an attempt carries a token, its processes carry it in their environment, and a task
ends only through the token of its current attempt.
"""
