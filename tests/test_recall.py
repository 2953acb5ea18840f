"""What was found out about an array is told of it alone, and only where asked to."""

import threading

import numpy as np

from streamproc import ops
from streamproc.recall import recall, remember, remembering


def test_it_is_told_of_this_array_alone() -> None:
    array = np.zeros(4)
    with remembering():
        remember(array, "known")
        assert recall(array, str) == "known"
        assert recall(array, int) is None
        assert recall(array[:], str) is None
        assert recall(array.copy(), str) is None


def test_the_latest_is_told() -> None:
    array = np.zeros(4)
    with remembering():
        remember(array, 1)
        remember(array, 2)
        assert recall(array, int) == 2


def test_another_array_in_its_place_is_not_taken_for_it() -> None:
    with remembering():
        # the memory of an array that went is given to the next one
        places = set()
        for number in range(100):
            array = np.zeros(4)
            assert recall(array, int) is None
            places.add(id(array))
            remember(array, number)
            del array
    assert len(places) < 100


def test_nothing_is_remembered_elsewhere() -> None:
    array = np.zeros(4)
    remember(array, "known")
    assert recall(array, str) is None
    with remembering():
        remember(array, "known")
        with remembering(False):
            assert recall(array, str) is None
            remember(array, "other")
        assert recall(array, str) == "known"
        told = []
        thread = threading.Thread(target=lambda: told.append(recall(array, str)))
        thread.start()
        thread.join()
        assert told == [None]
    assert recall(array, str) is None


def test_labels_that_a_caller_changes_are_measured_as_they_are() -> None:
    labels = ops.label([[1, 1, 0, 1]])
    assert ops.measure(labels)["area"].tolist() == [2, 1]
    labels[0, 0] = 0
    assert ops.measure(labels)["area"].tolist() == [1, 1]
