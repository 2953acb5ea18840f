"""Which planes of a TIFF file make which frame: ImageJ, OME, tifffile, plain pages."""

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamproc.errors import FrameError

from . import _calibration, _ome

if TYPE_CHECKING:
    from tifffile import TiffPage

    from ._tiff import Place, Tiff

#: Formats with rules of their own, which tifffile knows.
_SPECIAL = (
    "lsm",
    "stk",
    "fluoview",
    "sis",
    "svs",
    "scn",
    "qpi",
    "ndpi",
    "bif",
    "avs",
    "eer",
    "philips",
    "scanimage",
)
#: ImageJ's words for the order of planes, fastest first.
_IMAGEJ_ORDERS = ("czt", "ctz", "zct", "ztc", "tcz", "tzc")


@dataclass(frozen=True, slots=True)
class Series:
    """Frames made of planes; ``lead`` are the axes in front of a plane's own.

    ``planes`` are plane numbers by (frame, lead axes), ``locate`` finds a plane,
    ``first`` is the page number of plane 0 (for messages).
    """

    planes: NDArray[np.int64]
    lead: str
    locate: "Callable[[int], Place]"
    first: int = 0


@dataclass(frozen=True)
class Layout:
    """All frames of a file, and what the file says of them."""

    series: Sequence[Series]
    broken: str | None = None
    pixel_size_um: dict[str, float] = field(default_factory=dict)
    fps: float | None = None
    channels: tuple[str, ...] = ()
    start: float | None = None
    delta: dict[int, float] = field(default_factory=dict)
    notes: dict[int, dict[str, Any]] = field(default_factory=dict)
    kind: str = "plain"
    #: names of the other files that frames are in
    others: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        ends = tuple(accumulate(len(s.planes) for s in self.series))
        object.__setattr__(self, "_ends", ends)

    @property
    def count(self) -> int:
        """Number of frames announced."""
        ends: tuple[int, ...] = self._ends  # type: ignore[attr-defined]
        return ends[-1] if ends else 0

    @property
    def pages(self) -> int:
        """Number of planes announced."""
        return sum(s.planes.size for s in self.series)

    def find(self, frame: int) -> tuple[Series, NDArray[np.int64]]:
        """Return a frame's series and plane numbers."""
        ends: tuple[int, ...] = self._ends  # type: ignore[attr-defined]
        which = bisect_right(ends, frame)
        series = self.series[which]
        return series, series.planes[frame - (ends[which] - len(series.planes))]


def of(tiff: "Tiff") -> Layout:
    """Return how the planes of an opened file are laid out."""
    tif = tiff.tif
    if any(getattr(tif, "is_" + kind) for kind in _SPECIAL):
        return _special(tiff)
    if tif.is_ome and tif.ome_metadata:
        images = _ome.parse(tif.ome_metadata, len(tiff.chain.offsets))
        if images:
            return _from_ome(tiff, images)
    if tif.is_imagej and tif.imagej_metadata:
        return _imagej(tiff, tif.imagej_metadata)
    if tif.is_shaped:
        return _shaped(tiff)
    return _plain(tiff)


def _numbers(axes: str, shape: Sequence[int]) -> tuple[NDArray[np.int64], str]:
    """Return plane numbers by (frame, lead axes): C and Z lead, others are frames."""
    numbers = np.arange(math.prod(shape), dtype=np.int64).reshape(tuple(shape))
    lead = [i for i, axis in enumerate(axes) if axis in "CZ"]
    rest = [i for i, axis in enumerate(axes) if axis not in "CZ"]
    numbers = numbers.transpose(rest + lead)
    sizes = tuple(shape[i] for i in lead)
    return numbers.reshape((-1, *sizes)), "".join(axes[i] for i in lead).lower()


def _tags(page: "TiffPage") -> dict[str, Any]:
    names = ("XResolution", "YResolution", "ResolutionUnit")
    return {name: page.tags[name].value for name in names if name in page.tags}


def _plain(tiff: "Tiff") -> Layout:
    """Return every page as a frame, without thumbnails and masks."""
    chain = tiff.chain
    pages = [i for i, picture in enumerate(chain.pictures) if picture]
    if not pages:
        pages = list(range(len(chain.offsets)))
    return Layout(
        [Series(np.arange(len(pages)), "", lambda k: tiff.page(pages[k]))],
        broken=chain.broken,
        pixel_size_um=_calibration.plain_pixel_size(_tags(tiff.tif.pages.first)),
    )


def _imagej(tiff: "Tiff", meta: dict[str, Any]) -> Layout:
    """Return ImageJ's hyperstack: planes in one run behind the first page, or pages."""
    page, chain = tiff.tif.pages.first, len(tiff.chain.offsets)
    sizes = {
        axis: max(1, int(meta.get(name, 1)))
        for axis, name in (("C", "channels"), ("Z", "slices"), ("T", "frames"))
    }
    samples = dict(zip(page.axes, page.shape, strict=True)).get("S", 1)
    if samples > 1 and sizes["C"] == samples:
        sizes["C"] = 1
    order = str(meta.get("order", "czt")).lower()
    if order not in _IMAGEJ_ORDERS:
        order = "czt"
    axes = order[::-1].upper()
    announced = max(math.prod(sizes.values()), int(meta.get("images", 1)), 1)
    if math.prod(sizes.values()) != announced or announced == 1:
        plain = announced if announced > 1 else max(chain, 1)
        axes, sizes = ("T", {"T": plain}) if plain > 1 else (axes, sizes)
    planes, lead = _numbers(axes, [sizes[axis] for axis in axes])
    inside = page.is_final and chain < planes.size
    locate = (lambda k: tiff.inside(page, k)) if inside else tiff.page
    return Layout(
        [Series(planes, lead, locate)],
        pixel_size_um=_calibration.imagej_pixel_size(meta, _tags(page)),
        fps=_calibration.imagej_fps(meta),
        channels=_imagej_channels(meta, planes, lead),
        kind="imagej",
    )


def _imagej_channels(
    meta: dict[str, Any], planes: NDArray[np.int64], lead: str
) -> tuple[str, ...]:
    """Return the labels of the first plane of each channel, if they tell them apart.

    ImageJ's own labels begin with the plane's place: ``c:1/2 z:1/5 - GFP``.
    """
    labels = meta.get("Labels")
    if "c" not in lead or not isinstance(labels, list):
        return ()
    numbers = np.moveaxis(planes[0], lead.index("c"), 0).reshape(
        planes.shape[1 + lead.index("c")], -1
    )[:, 0]
    if numbers.max() >= len(labels):
        return ()
    places = re.compile(r"^([czt]:\d+/\d+\s*)+(- )?")
    names = tuple(places.sub("", str(labels[n])).strip() for n in numbers)
    return names if all(names) and len(set(names)) == len(names) else ()


def _shaped(tiff: "Tiff") -> Layout:
    """Return the series that tifffile writes, one after the other.

    Each begins with a page that tells its shape; a page without is a frame.
    """
    chain, index = tiff.chain, 0
    series: list[Series] = []
    broken = chain.broken
    while index < len(chain.offsets):
        if not chain.pictures[index]:
            index += 1
            continue
        made, used = _shaped_series(tiff, index)
        series.append(made)
        if index + made.planes.size > len(chain.offsets):
            # the pages that the broken chain does not reach are announced here
            broken = None
        index += used
    return Layout(
        _merged(tiff, series),
        broken=broken,
        pixel_size_um=_calibration.plain_pixel_size(_tags(tiff.tif.pages.first)),
        kind="shaped",
    )


def _shaped_series(tiff: "Tiff", index: int) -> tuple[Series, int]:
    """Return the series that begins at a page, and how many pages it takes."""
    single = Series(np.zeros(1, np.int64), "", lambda _: tiff.page(index), index)
    try:
        key = tiff.key(index)
        told = _told(key)
    except (FrameError, ValueError, TypeError, LookupError):
        return single, 1
    if told is None:
        return single, 1
    axes, shape = told
    planes, lead = _numbers(axes, shape)
    left = len(tiff.chain.offsets) - index
    if planes.size == 1:
        return Series(planes, lead, lambda _: tiff.page(index), index), 1
    alone = left < planes.size or _starts_next(tiff, index, planes.size)
    if key.is_final and alone:
        used = 1 if left >= planes.size else left
        return Series(planes, lead, lambda k: tiff.inside(key, k), index), used
    return Series(planes, lead, lambda k: tiff.page(index + k), index), planes.size


def _starts_next(tiff: "Tiff", index: int, count: int) -> bool:
    """Say whether the next page is the first of another series (planes in one run)."""
    key = tiff.key(index)
    if key.shaped_description and '"truncated": true' in key.shaped_description:
        return True
    following = tiff.key(index + 1)
    return (
        following.shaped_description is not None
        and following.dataoffsets[0] >= key.dataoffsets[0] + count * key.nbytes
    )


def _told(key: "TiffPage") -> tuple[str, tuple[int, ...]] | None:
    """Return axes and shape in front of a page, by its own description."""
    import json

    text = key.shaped_description
    if text is None:
        return None
    if text.startswith("shape="):
        text = '{"shape": [' + text[6:].strip("()").rstrip(",") + "]}"
    meta = json.loads(text)
    shape = tuple(int(size) for size in meta["shape"])
    axes = str(meta.get("axes") or "")
    one, own = math.prod(key.shape), [s for s in key.shape if s != 1]
    cut = next((i for i in range(len(shape) + 1) if math.prod(shape[i:]) == one), None)
    if cut is None or math.prod(shape) % one:
        return None
    # the longest tail that is one page: leading axes of one are frames of one
    while cut > 0 and math.prod(shape[cut:]) == one and shape[cut:] != key.shape:
        if [s for s in shape[cut:] if s != 1] == own and len(shape) - cut <= key.ndim:
            break
        cut += 1
    if len(axes) != len(shape):
        axes = "Q" * len(shape)
    return axes[:cut], shape[:cut]


def _merged(tiff: "Tiff", series: list[Series]) -> list[Series]:
    """Return the series with neighbours of one plane each made into one."""
    if len(series) > 1 and all(s.planes.size == 1 and not s.lead for s in series):
        pages = [s.first for s in series]
        return [Series(np.arange(len(pages)), "", lambda k: tiff.page(pages[k]))]
    return series


def _from_ome(tiff: "Tiff", images: list[_ome.Image]) -> Layout:
    """Return the images that OME-XML describes, one after the other."""
    chain = tiff.chain
    told = images[0]

    def locator(image: _ome.Image) -> "Callable[[int], Place]":
        def locate(k: int) -> "Place":
            plane = image.planes[k]
            if plane is None:
                raise FrameError("the file tells no place for it")
            return tiff.page(plane.page, plane.file)

        return locate

    series = []
    for image in images:
        planes, lead = _numbers(image.axes, image.shape)
        series.append(Series(planes, lead, locator(image)))
    used = {p.page for i in images for p in i.planes if p and p.file is None}
    missing = bool(used) and max(used) >= len(chain.offsets)
    return Layout(
        series,
        broken=None if missing else chain.broken,
        pixel_size_um=told.pixel_size_um,
        fps=told.fps,
        channels=told.channels,
        start=told.start,
        delta=told.delta if len(images) == 1 else {},
        notes=told.notes if len(images) == 1 else {},
        kind="ome",
        others=frozenset(p.file for i in images for p in i.planes if p and p.file),
    )


def _special(tiff: "Tiff") -> Layout:
    """Return the first series as tifffile finds it: no thumbnails, labels, levels."""
    found = tiff.tif.series[0]
    inner = len(found.keyframe.axes)
    axes, shape = found.axes[:-inner], found.shape[:-inner]
    planes, lead = _numbers(axes, shape)

    def locate(k: int) -> "Place":
        from ._tiff import Place

        if len(found.pages) < planes.size:
            return tiff.inside(found.keyframe, k)
        page = found.pages[k]
        if page is None:
            raise FrameError("the page is missing")
        if page.keyframe is None:
            raise FrameError("the page is no picture")
        return Place(tiff.file, page.keyframe, page.dataoffsets, page.databytecounts)

    return Layout([Series(planes, lead, locate)], kind=found.kind)
