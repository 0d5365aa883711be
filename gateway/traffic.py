class AppTraffic:
    __slots__ = ("under_way", "streams")

    def __init__(self):
        self.under_way = 0
        self.streams = 0

    def answered(self, *a):
        pass

    def refused(self, r):
        pass


class Traffic:
    def __init__(self):
        self._a = {}

    def of(self, a):
        return self._a.setdefault(a, AppTraffic())
