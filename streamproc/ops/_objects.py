"""The objects of a label image, with what several measures of them share."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FrameError
from ..frame import Array
from ._boxes import filled_areas, volume_euler_numbers
from ._contacts import Contacts, contacts
from ._hull import Hulls, hulls
from ._hull_volume import volume_hulls
from ._median import medians
from ._moments import Geometry, Intensity, geometry, intensities
from ._orientation import decided
from ._perimeter import perimeters
from ._pixels import pixels
from ._powers import Powers, central, level_powers, normalized, shape_powers
from ._runs import Drawing, Runs, find_runs, number_values


@dataclass(frozen=True)
class Objects:
    """Every label above 0, in ascending order; whatever is asked for is kept."""

    image: Array | Drawing
    runs: Runs
    #: the labels, one per row of the table
    present: NDArray[np.int64]
    #: the row that each run belongs to
    place: NDArray[np.int64]

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return self.image.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the label image."""
        return self.image.shape

    @cached_property
    def labels(self) -> Array:
        """The label image, for what cannot be told by its runs."""
        return pixels(self.image, "labels")

    @cached_property
    def shapes(self) -> Geometry:
        """Size, place and second moments."""
        return geometry(self.shape, self.runs, self.place, len(self.present))

    @cached_property
    def corners(self) -> NDArray[np.int64]:
        """The boxes: z0 y0 x0 z1 y1 x1."""
        sides = (self.shapes.lowest, self.shapes.highest)
        return np.stack([side[a] for side in sides for a in "zyx"], axis=1)

    def box_area(self) -> NDArray[np.int64]:
        """Return the pixels of each box."""
        return np.asarray((self.corners[:, 3:] - self.corners[:, :3]).prod(axis=1))

    def centre(self) -> Powers:
        """Return the centroids: z, y, x."""
        return self.shapes.centre()

    @cached_property
    def hulls(self) -> Hulls:
        """The convex hulls."""
        low, high = self.corners[:, :3], self.corners[:, 3:]
        if self.ndim == 2:
            return hulls(self.runs, self.place, low[:, 1], high[:, 1])
        return volume_hulls(self.shape, self.runs, self.place, low, high)

    @cached_property
    def contacts(self) -> Contacts:
        """What meets between the rows of a plane."""
        return contacts(self.runs, self.place, self.shapes.area)

    def euler_number(self) -> NDArray[np.int64]:
        """Return pieces less holes (plus hollows less tunnels)."""
        if self.ndim == 2:
            return self.contacts.euler_number()
        return volume_euler_numbers(self.labels, self.present, self.corners)

    def filled_area(self) -> NDArray[np.int64]:
        """Return the pixels with those of holes."""
        return filled_areas(self.labels, self.present, self.corners)

    def perimeter(self) -> NDArray[np.float64]:
        """Return the length of the line through the border pixels."""
        return perimeters(self.labels, self.runs, self.place, len(self.present))

    def orientation(self) -> NDArray[np.float64]:
        """Return the angle between the y axis and the major axis."""
        angles, corners = self.shapes.orientation(), self.corners
        for i in self.shapes.undecided():
            _, top, left, _, bottom, right = corners[i]
            box = self.labels[top:bottom, left:right]
            angles[i] = decided(box == self.present[i])
        return angles

    def moments(self) -> Powers:
        """Return the moments around the corner of each box."""
        corner = self.corners[:, :3].astype(np.float64)
        return shape_powers(self.shape, self.runs, self.place, corner)

    @cached_property
    def central_moments(self) -> Powers:
        """The moments around the centroid."""
        o, centre = self, self.centre()
        return central(shape_powers(o.shape, o.runs, o.place, centre))

    @cached_property
    def normalized_moments(self) -> Powers:
        """The central moments, free of scale."""
        return normalized(self.central_moments)


@dataclass(frozen=True)
class Levels:
    """The grey levels of every object in one channel."""

    objects: Objects
    image: Array

    @cached_property
    def sums(self) -> Intensity:
        """Mean, extremes, spread, centre of brightness."""
        o = self.objects
        return intensities(self.image, o.runs, o.place, o.shapes)

    def median(self) -> NDArray[np.float64]:
        """Return the middle level."""
        o = self.objects
        return medians(self.image, o.runs, o.place, o.shapes.area)

    def centre(self) -> Powers:
        """Return the centres of brightness: z, y, x."""
        return self.sums.centre()

    def moments(self) -> Powers:
        """Return the moments around the corner of each box."""
        return self._powers(self.objects.corners[:, :3].astype(np.float64))

    @cached_property
    def central_moments(self) -> Powers:
        """The moments around the centre of brightness."""
        return central(self._powers(self.centre()))

    @cached_property
    def normalized_moments(self) -> Powers:
        """The central moments, free of scale."""
        return normalized(self.central_moments)

    def _powers(self, centre: Powers) -> Powers:
        o = self.objects
        found = level_powers(self.image, o.runs, o.place, centre)
        # where all pixels are NaN nothing is known, not even that there is nothing
        found[np.isnan(self.sums.sum())] = np.nan
        return found


def find_objects(labels: ArrayLike | Drawing) -> Objects:
    """Return the objects of a label image.

    Raises
    ------
    FrameError
        Labels are not whole numbers, or the array is no plane and no volume.
    """
    if isinstance(labels, Drawing):
        return _objects(labels, labels.runs)
    image = pixels(labels, "labels")
    if image.dtype.kind not in "iu":
        raise FrameError(f"labels must hold whole numbers, got dtype {image.dtype}")
    return _objects(image, find_runs(image))


def _objects(image: Array | Drawing, runs: Runs) -> Objects:
    present, place = number_values(runs.value)
    return Objects(image, runs, present, place)
