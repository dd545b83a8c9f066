"""placeholder"""

from benchmarks.accuracy.method import NotInstalledError


class SleapNn:
    learns = True
    oracles = frozenset({"crop"})

    def __init__(self, task):
        raise NotInstalledError(
            "sleap-nn is not installed; name its interpreter with --sleap-python"
        )
