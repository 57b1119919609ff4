"""Signals that say what a test wants."""

from operations.gates.load.reading import Collector


class Says(Collector):
    """Reads what it was given; an exception is raised."""

    configured_by = "the test"

    def __init__(self, *answers, signal="Database CPU", limit=80, unit="%"):
        self.answers = list(answers)
        self.signal = signal
        self.unit = unit
        self._limit = limit
        self.reads = 0

    def limit(self):
        return self._limit

    def read(self):
        self.reads += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer
