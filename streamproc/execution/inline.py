"""The reference executor: every task runs in the thread that submits it."""

from .protocol import Deliver, Task, WindowValue


class Inline:
    """One frame at a time, in order; for debugging and as the oracle of the others."""

    name = "inline"
    workers = appetite = 1

    def start(self, deliver: Deliver) -> None:
        """Remember where results go."""
        self._deliver = deliver

    def submit(self, task: Task) -> None:
        """Run it now."""
        self._deliver(task.run())

    def submit_window(self, window: WindowValue) -> None:
        """Compute it now."""
        window.compute()

    def cancel(self) -> None:
        """Do nothing: no task waits."""

    def close(self, patience: float) -> None:
        """Do nothing: no task runs."""
