"""3DEqualizer: tracking points as the text of its "Export Tracks" script. Shapes are not in it.

Pixels from the bottom-left corner. First the number of points; then for each its name, a colour
number, the number of lines, and a line ``frame x y`` for each frame on which it can be seen: a
missing line is a gap.
"""

from __future__ import annotations

from collections.abc import Mapping

from laikaroto.errors import SidecarError
from laikaroto.shapes.records import Roto
from laikaroto.sidecar.formats.registry import WriteOptions
from laikaroto.sidecar.formats.text import number

_COLOUR = "0"
_DECIMALS = 6


def write(roto: Roto, options: WriteOptions) -> Mapping[str, bytes]:
    """A ``.txt`` file.

    Raises:
        SidecarError: a name has a line break or another control character, which would be read
            as the line after it.
    """
    lines = [str(len(roto.tracks))]
    for name, track in roto.tracks.items():
        if not name.isprintable():
            raise SidecarError(
                f"shot {roto.shot!r}, tracking point {name!r}: wanted a name of one line, as "
                "3DEqualizer reads them; rename the point"
            )
        shown = [frame for frame in sorted(track) if track[frame].visible]
        lines += [name, _COLOUR, str(len(shown))]
        for frame in shown:
            x, y = track[frame].xy
            up = roto.plate.height - y
            lines.append(f"{frame} {number(x, _DECIMALS)} {number(up, _DECIMALS)}")
    return {f"{options.name}.txt": ("\n".join(lines) + "\n").encode()}
