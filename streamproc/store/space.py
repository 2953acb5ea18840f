"""The disk space that a run leaves alone."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from streamproc.errors import StoreError


@dataclass(frozen=True, slots=True)
class Space:
    """Watches the free space where ``folder`` lies; ``reserve`` is in bytes."""

    folder: Path
    reserve: int

    def left(self) -> int:
        """Return how many bytes there are until the reserve.

        Raises
        ------
        OSError
            The folder is gone.
        """
        return max(0, shutil.disk_usage(self.folder).free - self.reserve)

    def check(self, wanted: int = 0) -> None:
        """Look whether ``wanted`` more bytes leave the reserve; costs a system call.

        Raises
        ------
        StoreError
            There is less than the reserve, or the folder is gone.
        """
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise StoreError(f"run folder {self.folder} is gone: {error}") from error
        if free - wanted < self.reserve:
            raise StoreError(
                f"disk of {self.folder} has {free / 1e9:.1f} GB free, less than "
                f"limits.disk_reserve ({self.reserve / 1e9:.1f} GB); make room, "
                "then resume"
            )
