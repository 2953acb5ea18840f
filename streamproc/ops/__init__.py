"""The operators, as plain functions on arrays.

Names, parameters and meaning are those of scikit-image and scipy.ndimage. They act
on ``(y, x)`` or ``(z, y, x)``; ``channel_axis`` maps them over channels.
"""
