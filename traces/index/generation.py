"""One whole index on disk: a database, its page checksums, and the column files."""

from __future__ import annotations

from pathlib import Path

from tensorshark.traces.index.columns import Store
from tensorshark.traces.index.database import Connection, Database, create, has_trigrams
from tensorshark.traces.index.place import Place
from tensorshark.traces.index.seal import Seal

FILE = "index.sqlite"


class Generation:
    """Opened, not yet believed: `seal` says whether the database is what was written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(folder / FILE)
        self.store = Store(folder / "columns")
        self.seal = Seal(folder / FILE)
        self.trigrams = has_trigrams(self.database.reader)
        """Whether substrings can be looked up."""
        self._writer: Connection | None = None

    @property
    def writer(self) -> Connection:
        """The connection that may write. Hold the writers' lock."""
        if self._writer is None:
            self._writer = self.database.connect()
        return self._writer

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    @classmethod
    def current(cls, place: Place) -> Generation | None:
        """The one that counts, if there is one that is ours."""
        folder = place.generation()
        return cls(folder) if folder and (folder / FILE).is_file() else None

    @classmethod
    def make(cls, place: Place) -> Generation:
        """A new, empty one that counts from now on. Hold the writers' lock."""
        folder = place.new_generation()
        generation = cls(folder)
        connection = generation.database.connect()
        create(connection)
        generation.seal.close(connection)
        connection.close()
        place.adopt(folder)
        return generation
