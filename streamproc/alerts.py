"""Rules that watch a run while it goes on: what they see is said, and sent to people.

Who commits only counts. A thread looks once a second, so that rules cost the frames
nothing, and speak also when no frame comes any more. They change no result.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from .config import AlertConfig
from .courier import Courier, command, stamp, webhook
from .errors import one_line

if TYPE_CHECKING:
    from .execution.engine import Entry
    from .stage import SavedRows

#: Kind of their rows in ``events``; raised ones are warnings.
KIND = "alert"
#: Seconds between looks, and of what rates are rates.
_LOOK, _MINUTE = 1.0, 60.0
#: Seconds over which the disk is seen to fill, and of them at least.
_FILLING, _FILLING_LEAST = 600.0, 60.0
#: Frames whose median a falling value is taken to be.
_SMOOTH = 10
#: Seconds that the end of a run waits for what is being sent.
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Facts:
    """A run at one moment."""

    #: seconds of the monotonic clock
    now: float
    admitted: int
    lost: int
    failed: int
    pending: int
    #: seconds since the frame that is next was admitted
    behind: float
    #: bytes until the disk's reserve is reached
    free: int
    #: whether frames are to come from a camera
    is_taking: bool


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that is broken, or holds again."""

    rule: str
    is_raised: bool
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


class Rules:
    """What is looked at, and which alerts are raised.

    One that is raised is cleared once its rule has held for ``clear_after`` seconds:
    however much a value flickers, that is the least time between two messages.

    Parameters
    ----------
    config
        The rules.
    table
        The saved table whose rows are the objects.
    """

    def __init__(self, config: AlertConfig, table: str) -> None:
        self._config = config
        self._table = table
        #: frames in a row without an object
        self._empty = 0
        self._falls = [_Fall(name, share) for name, share in config.drop.items()]
        self._history: deque[Facts] = deque()
        self._disk: deque[tuple[float, int]] = deque()
        #: when the last frame came
        self._came: tuple[int, float] | None = None
        #: what is raised, since when and when it was last seen
        self._raised: dict[str, tuple[float, float]] = {}

    def count(self, entries: "Iterable[Entry]") -> None:
        """Take the frames of a commit (committer thread)."""
        for entry in entries:
            if entry.error is not None or entry.is_idle:
                continue
            saved = entry.rows.get(self._table)
            if saved is not None:
                self._empty = 0 if saved.objects else self._empty + 1
            for fall in self._falls:
                fall.take(entry.rows.get(fall.table))

    def look(self, facts: Facts) -> list[Alert]:
        """Return what has changed (one thread)."""
        self._remember(facts)
        changed, wrong = [], self._wrong(facts)
        for rule, text in wrong.items():
            since = self._raised[rule][0] if rule in self._raised else facts.now
            if rule not in self._raised:
                changed.append(Alert(rule, True, text))
            self._raised[rule] = since, facts.now
        for rule, (since, seen) in list(self._raised.items()):
            if facts.now - seen >= self._config.clear_after and rule not in wrong:
                del self._raised[rule]
                text = f"cleared, it lasted {seen - since:.0f} s"
                changed.append(Alert(rule, False, text))
        return changed

    def end(self) -> list[Alert]:
        """Clear all: there is nothing more to look at."""
        raised, self._raised = self._raised, {}
        return [Alert(rule, False, "cleared, the run has ended") for rule in raised]

    def _remember(self, facts: Facts) -> None:
        self._history.append(facts)
        while facts.now - self._history[0].now > _MINUTE:
            self._history.popleft()
        self._disk.append((facts.now, facts.free))
        while facts.now - self._disk[0][0] > _FILLING:
            self._disk.popleft()
        if self._came is None or self._came[0] != facts.admitted:
            self._came = facts.admitted, facts.now

    def _wrong(self, facts: Facts) -> dict[str, str]:
        """Return what is wrong now, in words, by rule."""
        config, then = self._config, self._history[0]
        wrong: dict[str, str] = {}

        if config.no_objects is not None and self._empty >= config.no_objects:
            wrong["no_objects"] = f"none in the last {self._empty:,} frames"
        lost, came = facts.lost - then.lost, facts.admitted - then.admitted
        share = lost / max(lost + came, 1)
        if config.loss_rate is not None and share > config.loss_rate:
            wrong["loss_rate"] = (
                f"{share:.1%} of the frames of the last minute are lost ({lost:,})"
            )
        failed = facts.failed - then.failed
        if config.failed is not None and failed >= config.failed:
            wrong["failed"] = f"{failed:,} frames failed in the last minute"
        if config.lag_frames is not None and facts.pending > config.lag_frames:
            wrong["lag_frames"] = f"{facts.pending:,} frames wait for their results"
        if config.lag_seconds is not None and facts.behind > config.lag_seconds:
            wrong["lag_seconds"] = f"results come {facts.behind:.1f} s late"
        hours = self._hours()
        if hours is not None and hours < (config.disk_hours or 0):
            wrong["disk_hours"] = (
                f"the disk is full in {hours:.1f} h ({facts.free / 1e9:.1f} GB left)"
            )
        assert self._came is not None
        still = facts.now - self._came[1]
        if config.stalled is not None and facts.is_taking and still > config.stalled:
            wrong["stalled"] = f"no frame for {still:.0f} s"
        for fall in self._falls:
            if (text := fall.text()) is not None:
                wrong[f"drop of {fall.name}"] = text
        return wrong

    def _hours(self) -> float | None:
        """Return the hours until the disk is full, at the speed of late."""
        (begin, before), (now, free) = self._disk[0], self._disk[-1]
        if free <= 0:
            return 0.0
        if now - begin < _FILLING_LEAST or free >= before:
            return None
        return free / (before - free) * (now - begin) / 3600


class _Fall:
    """A saved column that must not fall far below the best that it was.

    What it is, is its mean over a frame's rows, and the median of that over frames.
    """

    def __init__(self, name: str, share: float) -> None:
        self.name, self._share = name, share
        self.table, _, self.column = name.partition(".")
        self._late: deque[float] = deque(maxlen=_SMOOTH)
        self._now = self._best = 0.0
        self._is_missing = False

    def take(self, saved: "SavedRows | None") -> None:
        """Take the rows of one frame."""
        if saved is None or not saved.rows:
            return
        columns = list(saved.types)
        self._is_missing = self.column not in columns
        if self._is_missing:
            return
        index = columns.index(self.column) + 1  # behind the frame
        values = [row[index] for row in saved.rows]
        numbers = [v for v in values if isinstance(v, int | float)]
        if not numbers:
            return
        self._late.append(sum(numbers) / len(numbers))
        if len(self._late) == _SMOOTH:
            self._now = median(self._late)
            self._best = max(self._best, self._now)

    def text(self) -> str | None:
        """Return what is wrong; None where nothing is."""
        if self._is_missing:
            return f"table {self.table!r} has no column {self.column!r}"
        if self._best <= 0 or self._now >= (1 - self._share) * self._best:
            return None
        fallen = 1 - self._now / self._best
        return f"{self._now:.4g} is {fallen:.0%} below the best, {self._best:.4g}"


class Alerts:
    """Looks at a run once a second; says what changes, and sends it.

    Parameters
    ----------
    config, table
        As `Rules` takes them.
    facts
        Tells how the run stands.
    say
        Records an event: its kind, message and level.
    run
        Name of the run, for those who are far away.
    earlier
        Messages and levels of earlier sessions: what was left raised.
    """

    def __init__(
        self,
        config: AlertConfig,
        table: str,
        *,
        facts: Callable[[], Facts],
        say: Callable[[str, str, str], None],
        run: str,
        earlier: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._rules = Rules(config, table)
        self._facts = facts
        self._say = say
        self._name = run
        self._earlier = earlier
        ways = []
        if config.webhook is not None:
            ways.append(webhook(config.webhook))
        if config.command is not None:
            ways.append(command(config.command))
        self._couriers = [Courier(name, send, self._unsent) for name, send in ways]
        self._is_blind = False
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def count(self, entries: "Iterable[Entry]") -> None:
        """Take the frames of a commit; a rule that breaks does not break the commit."""
        with suppress(Exception):
            self._rules.count(entries)

    def start(self) -> None:
        """Begin to look."""
        left: dict[str, str] = {}
        for message, level in self._earlier:
            rule = message.partition(": ")[0]
            left[rule] = level
        for rule, level in left.items():
            if level == "warning":
                # of a session that was killed
                self._say(KIND, f"{rule}: cleared, the run was resumed", "info")
        self._rules.look(self._facts())
        self._thread.start()

    def close(self, failure: str | None = None) -> None:
        """Look once more and end; ``failure`` is what has stopped the run."""
        self._has_ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._look()
        for alert in self._rules.end():
            self._tell(alert, is_sent=False)
        if failure is not None:
            self._send(Alert("stopped", True, failure))
        end = time.monotonic() + _PATIENCE
        for courier in self._couriers:
            courier.close(max(0.0, end - time.monotonic()))

    def give_up(self) -> None:
        """End without a word: the run was refused before it began."""
        self._has_ended.set()
        for courier in self._couriers:
            courier.close(0.0)

    def _run(self) -> None:
        while not self._has_ended.wait(_LOOK):
            self._look()

    def _look(self) -> None:
        try:
            changed: Sequence[Alert] = self._rules.look(self._facts())
        except Exception as error:
            # whatever a rule meets, the run goes on, and the next look may see more
            if not self._is_blind:
                self._is_blind = True
                self._say("unsent", f"alerts cannot look: {one_line(error)}", "error")
            return
        self._is_blind = False
        for alert in changed:
            self._tell(alert)

    def _tell(self, alert: Alert, *, is_sent: bool = True) -> None:
        self._say(KIND, str(alert), "warning" if alert.is_raised else "info")
        if is_sent:
            self._send(alert)

    def _send(self, alert: Alert) -> None:
        message: Mapping[str, Any] = {
            "text": f"{self._name}: {alert}",
            "alert": alert.rule,
            "state": "raised" if alert.is_raised else "cleared",
            "run": self._name,
            "time": stamp(time.time()),
        }
        for courier in self._couriers:
            courier.put(message)

    def _unsent(self, text: str) -> None:
        self._say("unsent", text, "error")
