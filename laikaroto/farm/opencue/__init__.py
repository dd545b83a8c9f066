"""OpenCue: one Cuebot job for each job, one layer for each step, one frame for each task.

::

    client ── gRPC ──> Cuebot ──> RQD ──> opencue.frame (watcher) ── runner ── payload
    client <─ gRPC ──────┘                                             │
    client <─────────────── records in the queue's state folder (shared) <──┘

Cuebot says what waits and runs; the records of the tasks themselves (``farm.records``) say what
was done, and win. Cuebot retries a frame once at most and RQD kills without grace, so tries,
waiting times and a polite end are the business of the runner in the frame. What a wrangler does
in CueGUI (retry, eat, kill, pause, priority) is seen and respected.

Only OpenCue's own message definitions (opencue-proto) and grpcio are used, not pycue: pycue
keeps its connection, hosts and configuration in class variables of the process, reads files of
the user's home when imported, and takes its timeout of 10,000 milliseconds for seconds.
"""
