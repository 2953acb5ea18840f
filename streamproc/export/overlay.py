"""Pictures of a run's frames with the outlines of its objects: MP4 or PNG."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import read_yaml
from ..errors import ConfigError, FrameError, RunFolderError
from ..frame import Array, Frame, Source
from ..plugins import make_source
from ..reading import same_field
from ..view import picture
from ..view.picture import Colours, Contrast
from .saved import Saved, SavedImage
from .target import Target

if TYPE_CHECKING:
    import av

#: Frames that decide on the contrast of all, and pixels along an edge of each.
_SAMPLE, _ENOUGH = 16, 1024
#: Frame rates that are watched as they are; others are played at the last one.
_SLOWEST, _FASTEST, _PLAIN = 1.0, 60.0, 10.0
#: FFmpeg's number for BT.709, which players take for granted.
_BT709 = 1


@dataclass(frozen=True, slots=True)
class _Base:
    """What is drawn beneath the outlines; ``read`` is asked in ascending order."""

    axes: str
    read: Callable[[int], Array]
    is_random: bool


def write_overlay(
    saved: Saved,
    target: Target,
    images: Sequence[str],
    labels: Sequence[str],
    fps: float | None,
    notes: list[str],
) -> None:
    """Write a video, one picture, or a folder of pictures.

    All pictures have the same contrast, and a label has the same colour in each. One
    picture is that of the first frame that is done.

    Raises
    ------
    ConfigError
        More than one image or label image is asked for, or none is known so.
    RunFolderError
        There is nothing to draw.
    """
    if len(images) > 1 or len(labels) > 1:
        raise ConfigError("an overlay shows one image and one label image; name one")
    if [n for n in images if n != "source"] or labels:
        saved.image_names([n for n in images if n != "source"], labels)
    name = labels[0] if labels else saved.main_labels()
    if target.suffix == ".png":
        saved.frames = saved.first_done()
    outlines = saved.image(name) if name else None
    shown = images[0] if images else "source"
    if name and not same_field(saved.folder.images, shown, f"source/labels/{name}"):
        raise ConfigError(
            f"{name!r} shows another part of the sample than {shown!r}; name an image "
            "that it was made of"
        )
    _, sizes, rate, _ = saved.described(shown)
    if outlines is not None and outlines.missing:
        count, first = len(outlines.missing), outlines.missing[0]
        said = "1 frame has" if count == 1 else f"{count:,} frames have"
        notes.append(f"{said} no objects to show, beginning with frame {first}")
    with _base(saved, images[0] if images else None, name) as base:
        pictures = _pictures(saved, base, outlines, sizes)
        with target.open() as place:
            if target.suffix == ".mp4":
                write_video(place, pictures, _rate(fps, rate, notes))
            elif target.is_file:
                picture.write(place, next(pictures))
            else:
                for frame, drawn in zip(saved.frames, pictures, strict=True):
                    picture.write(place / f"{frame:06}.png", drawn)


def _pictures(
    saved: Saved,
    base: _Base,
    outlines: SavedImage | None,
    pixel_size_um: Mapping[str, float],
) -> Iterator[Colours]:
    """Yield the picture of every frame."""
    # what can be read only once has the contrast of its first frame
    contrast = _contrast(_sample(saved, base) if base.is_random else [], base.axes)
    for frame in saved.frames:
        image = base.read(frame)
        contrast = contrast or _contrast([_plane(image, base.axes)], base.axes)
        yield picture.draw(
            image,
            base.axes,
            labels=None if outlines is None else outlines.read(frame),
            pixel_size_um=pixel_size_um,
            contrast=contrast,
        )


def write_video(path: Path, pictures: Iterator[Colours], fps: float) -> None:
    """Write pictures of one size as MP4: H.264, or MPEG-4 where that is missing.

    Sizes are made even by a black line, as both want them.
    """
    import av

    with av.open(
        str(path), "w", format="mp4", options={"movflags": "+faststart"}
    ) as to:
        stream: av.VideoStream | None = None
        for drawn in pictures:
            even = np.pad(drawn, [(0, n % 2) for n in drawn.shape[:2]] + [(0, 0)])
            if stream is None:
                stream = _stream(to, even.shape, fps)
            frame = av.VideoFrame.from_ndarray(even, format="bgr24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709)
            to.mux(stream.encode(frame))
        if stream is not None:
            to.mux(stream.encode())


def _stream(
    to: "av.container.OutputContainer", shape: tuple[int, ...], fps: float
) -> "av.VideoStream":
    import av

    rate = Fraction(fps).limit_denominator(1001)
    if "libx264" in av.codecs_available:
        stream = to.add_stream("libx264", rate, options={"crf": "18", "preset": "fast"})
    else:
        stream = to.add_stream("mpeg4", rate)
        stream.bit_rate = int(shape[0] * shape[1] * max(fps, 10) / 4)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    return stream


def _rate(asked: float | None, own: float | None, notes: list[str]) -> float:
    if asked is not None:
        return asked
    if own is not None and _SLOWEST <= own <= _FASTEST:
        return own
    why = f"frame rate is {own:g}/s" if own else "frame rate is unknown"
    notes.append(f"the {why}; the video plays {_PLAIN:g} per second, --fps sets it")
    return _PLAIN


def _sample(saved: Saved, base: _Base) -> list[Array]:
    """Return planes of some frames from the whole range."""
    step = -(-len(saved.frames) // _SAMPLE)
    return [_plane(base.read(frame), base.axes) for frame in saved.frames[::step]]


def _plane(image: Array, axes: str) -> Array:
    """Return an image without z, and of a large one every so-manieth pixel."""
    step = -(-max(image.shape[-2:]) // _ENOUGH)
    return picture.flat(image, axes)[..., ::step, ::step]


def _contrast(planes: Sequence[Array], axes: str) -> Contrast | None:
    """Return one contrast, by channel, for all these planes; None without any."""
    if not planes:
        return None
    if "c" not in axes:
        return [picture.limits(np.stack(planes))]
    return [picture.limits(np.stack(same)) for same in zip(*planes, strict=True)]


@contextmanager
def _base(saved: Saved, asked: str | None, labels: str | None) -> Iterator[_Base]:
    """Give the image to draw: saved, or read again from the recording."""
    known, name = saved.saved_images(), asked or "source"
    if name == "source" and name not in known:
        source = _again(saved)
        if source is not None:
            try:
                yield _from_source(saved, source)
            finally:
                source.close()
            return
        if known and asked is None:
            name = known[0]
    if name in known:
        image = saved.image(name)
        yield _Base(image.axes, image.read, True)
    elif labels is not None and asked is None:
        shape = saved.image(labels).shape[-2:]
        yield _Base("yx", lambda _: np.zeros(shape, np.uint8), True)
    else:
        raise RunFolderError(
            f"{saved.folder.path} has nothing to draw: {name} is not saved, and the "
            "run's recording is gone"
        )


def _again(saved: Saved) -> Source | None:
    """Open the run's recording, if it is still there."""
    try:
        source = make_source(read_yaml(saved.folder.pipeline)["source"])
    except (ConfigError, OSError, ImportError):
        return None
    if source.info.live:
        source.close()
        return None
    return source


def _from_source(saved: Saved, source: Source) -> _Base:
    index = saved.source_indices()
    info = source.info
    blank = np.zeros(info.shape, info.dtype)
    if not info.random_access:
        return _Base(info.axes, _Sequence(source, index, blank).read, False)

    def read(frame: int) -> Array:
        try:
            return source.read(index[frame]).pixels
        except FrameError:
            return blank

    return _Base(info.axes, read, True)


class _Sequence:
    """Frames of a source that is read once, in ascending order."""

    def __init__(self, source: Source, index: dict[int, int], blank: Array) -> None:
        self._items = source.frames(min(index.values(), default=0))
        self._index, self._blank = index, blank

    def read(self, frame: int) -> Array:
        """Return the frame's pixels; zeros where the source has none."""
        for item in self._items:
            if isinstance(item, Frame) and item.source_index == self._index[frame]:
                return item.pixels
            if getattr(item, "source_index", -1) >= self._index[frame]:
                break
        return self._blank
