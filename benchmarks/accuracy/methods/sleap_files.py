"""Runs under the interpreter that has sleap-io: pictures and points to and from ``.slp`` files.

``sleap_files.py write|read ORDER.json``; see ``sleap.py``, which has not been run either.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def write(order: dict[str, Any]) -> None:
    """A ``.slp`` of pictures, each with all its points, or with none to be predicted."""
    import numpy as np
    import sleap_io as sio

    skeleton = sio.Skeleton(nodes=[f"p{i}" for i in range(order["nodes"])])
    video = sio.Video.from_filename(order["pictures"])
    frames = []
    for index, points in enumerate(order["points"] or []):
        instance = sio.Instance.from_numpy(np.array(points, dtype=float), skeleton=skeleton)
        frames.append(sio.LabeledFrame(video=video, frame_idx=index, instances=[instance]))
    labels = sio.Labels(labeled_frames=frames, videos=[video], skeletons=[skeleton])
    labels.save(order["labels"])


def read(order: dict[str, Any]) -> None:
    """Predicted points of every picture as JSON; a picture without any is an error."""
    import sleap_io as sio

    labels = sio.load_slp(order["labels"])
    found = {frame.frame_idx: frame.instances for frame in labels.labeled_frames}
    rows = []
    for index in range(order["frames"]):
        if not found.get(index):
            sys.exit(f"picture {index}: sleap-nn predicted no instance")
        rows.append(found[index][0].numpy().tolist())
    Path(order["answer"]).write_text(json.dumps(rows))


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](json.loads(Path(sys.argv[2]).read_bytes()))
