"""Dense optical flow between the frames of a shot (DIS), and carrying points along it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.footage import Shot
from laikaroto.coords import FloatArray
from laikaroto.plate.colour import encode_log

_WIDEST_PX = 1280  # plates are reduced to this width for the flow
_GAIN = 1.6  # the log curve's 0-0.6 is what a lit set uses


class Flow:
    """The flow between any two frames of a shot; each is computed once.

    Source: Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search", in OpenCV.
    """

    def __init__(self, shot: Shot) -> None:
        """Read the plates and keep them as 8-bit grey."""
        self._grey: dict[int, NDArray[np.uint8]] = {}
        self._fields: dict[tuple[int, int], NDArray[np.float32]] = {}
        self._scale = 1.0
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        for frame, plate in shot.read():
            grey = np.clip(encode_log(plate).mean(-1) * _GAIN, 0, 1) * 255
            self._scale = min(1.0, _WIDEST_PX / grey.shape[1])
            if self._scale < 1:
                grey = cv2.resize(
                    grey, None, fx=self._scale, fy=self._scale, interpolation=cv2.INTER_AREA
                )
            self._grey[frame] = np.round(grey).astype(np.uint8)

    def carry(self, xy: FloatArray, start: int, end: int) -> FloatArray:
        """Where points (N, 2) of frame ``start`` are on frame ``end``, plate px."""
        if (start, end) not in self._fields:
            # its stubs do not know that there may be no first guess
            found = self._dis.calc(self._grey[start], self._grey[end], None)  # type: ignore[call-overload]
            self._fields[start, end] = np.asarray(found, np.float32)
        field = self._fields[start, end]
        height, width = field.shape[:2]
        index = np.clip(xy * self._scale - 0.5, 0, [width - 1, height - 1]).astype(np.float32)
        across, down = index[:, None, 0], index[:, None, 1]
        moved = cv2.remap(field, across, down, cv2.INTER_LINEAR)
        return np.asarray(xy + moved[:, 0].astype(np.float64) / self._scale)
