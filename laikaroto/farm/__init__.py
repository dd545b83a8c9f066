"""Farm: jobs as bundles, and the engines that run them.

``bundle`` writes and reads job folders, ``plan`` turns one into steps and tasks, ``engine`` is
the interface of a queue and its records, ``engines`` finds the engine of a configured queue.
"""
