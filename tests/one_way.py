"""Archives written where nobody can go back: as standard output and protocol 1 have them."""

import io


class OneWay(io.RawIOBase):
    """A file that cannot be gone back in: zipfile puts sizes and CRCs behind the data."""

    def __init__(self, to):
        super().__init__()
        self._to = to

    def writable(self):
        return True

    def write(self, data):
        return self._to.write(data)
