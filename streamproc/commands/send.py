"""``streamproc send``: a source's frames to another program, over ZeroMQ."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ..errors import ConfigError, one_line
from .common import ERROR, INCOMPLETE, INTERRUPTED, OK, Stopped, note

if TYPE_CHECKING:
    from ..sender import Sender, Sent
    from ..signals import Signals

#: Seconds between two looks at the sender.
_LOOK = 0.1


class Pattern(StrEnum):
    """Who gets a frame, as the command line completes it."""

    push = "push"
    pub = "pub"


class Packing(StrEnum):
    """How pixels are packed, as the command line completes it."""

    none = "none"
    blosc = "blosc"


def send(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A path, a glob, or YAML text.")
    ],
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="Such as tcp://127.0.0.1:5555.")
    ],
    pattern: Annotated[
        Pattern,
        typer.Option(
            help="push: one receiver, nothing is lost. pub: all who listen, what one "
            "is too slow for is dropped."
        ),
    ] = Pattern.push,
    connect: Annotated[
        bool, typer.Option("--connect", help="Go to the address, do not wait there.")
    ] = False,
    topic: Annotated[str, typer.Option(help="Of pub, for who asks for it.")] = "",
    compression: Annotated[Packing, typer.Option(help="Of the pixels.")] = Packing.none,
    fps: Annotated[
        float | None, typer.Option(min=0.001, help="Frames per second at most.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many frames.")
    ] = None,
) -> int:
    """Send a source's frames to another streamproc, or to any ZeroMQ program."""
    from ..inspection import read_source
    from ..sender import Sender
    from ..signals import Signals

    if topic and (pattern is not Pattern.pub or topic.startswith("{")):
        raise ConfigError(
            f"--topic {topic!r}: only --pattern pub has topics, and none begins with {{"
        )
    opened = read_source(source)
    try:
        if fps is not None and opened.info.live:
            raise ConfigError(
                "--fps is for recordings; a live source sends at its own rate; leave "
                "it out, or thin the source by max_fps where it has that"
            )
        with Signals() as signals:
            sender = Sender(
                opened,
                address,
                pattern=pattern.value,
                bind=not connect,
                topic=topic,
                compression=compression.value,
                fps=fps,
                frames=frames,
            )
            note(f"sending to {sender.address}, as soon as somebody listens")
            total = frames if frames is not None else opened.info.frames
            _follow(sender, signals, total)
    finally:
        opened.close()
    _show(sender.sent, sender.address)
    return _code(sender.sent)


def _follow(sender: "Sender", signals: "Signals", total: int | None) -> None:
    """Show the sender until its end.

    Raises
    ------
    Stopped
        It was interrupted, or stopped by an error.
    """
    from ..progress import Line

    heard = 0
    try:
        with Line(total) as line:
            while not sender.wait(_LOOK):
                line.count(sender.sent.frames, _said(sender.sent))
                if heard < signals.count:
                    heard += 1
                    sender.stop()
                    line.say("delivering what is sent; once more stops at once")
                if heard > 1:
                    break
            line.count(sender.sent.frames, _said(sender.sent))
    except Exception as error:
        _end_early(error, sender.sent)
    if heard:
        raise Stopped(INTERRUPTED, f"interrupted: {_so_far(sender.sent)}")


def _end_early(error: Exception, sent: "Sent") -> NoReturn:
    text = str(error) if isinstance(error, TimeoutError) else one_line(error)
    raise Stopped(ERROR, f"{text}; {_so_far(sent)}") from error


def _said(sent: "Sent") -> str:
    rate = sent.frames / sent.seconds if sent.seconds else 0.0
    return f"{rate:.0f} fps  lost {sent.lost}  unreadable {sent.unreadable}"


def _so_far(sent: "Sent") -> str:
    return f"{sent.frames:,} frames were sent"


def _code(sent: "Sent") -> int:
    """Return the exit code of a source that was sent to its end."""
    if not sent.unreadable:
        return OK
    many = "1 frame was" if sent.unreadable == 1 else f"{sent.unreadable:,} frames were"
    note(f"error: {many} not sent: {sent.error}")
    return INCOMPLETE


def _show(sent: "Sent", address: str) -> None:
    """Print what was sent."""
    from ..progress import show_rows

    frames = [f"{sent.frames:,} sent"]
    for name in ("unreadable", "lost"):
        count = getattr(sent, name)
        if count:
            frames.append(f"{count:,} {name}")
    rows = [("frames", ", ".join(frames))]
    if sent.frames and sent.seconds:
        rate = sent.frames / sent.seconds
        rows.append(("speed", f"{rate:.1f} frames/s in {sent.seconds:.1f} s"))
        part = sent.bytes / max(sent.plain_bytes, 1)
        rows.append(("bytes", f"{sent.bytes / 1e6:.1f} MB, {part:.0%} of the pixels"))
    show_rows([*rows, ("to", address)])
