"""Writes all masks of the open Blender file as JSON for `laikaroto truth import` and `correct`.

In Blender: open this file in the Text editor and run it. Or: blender SCENE.blend --background
--python blender_export.py -- OUT.json. Without a name the JSON lies beside the .blend file.
Frames are the scene's range; the size is that of the first image or movie clip of the masks'
editor, else the render size. Runs inside Blender 3.6 or newer and needs nothing else.
"""

import json
import os
import sys

import bpy


def picture_size(scene):
    """Size of the picture the masks were drawn on: the one in the mask editor, else the render's.

    A mask that laikaroto made says itself, see mask["laikaroto_size"].
    """
    for mask in bpy.data.masks:
        if "laikaroto_size" in mask:
            return [int(number) for number in mask["laikaroto_size"]]
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            space = area.spaces.active
            shown = getattr(space, "image", None) or getattr(space, "clip", None)
            if getattr(space, "mode", "") == "MASK" and shown and shown.size[0]:
                return [int(shown.size[0]), int(shown.size[1])]
    share = scene.render.resolution_percentage / 100
    return [round(scene.render.resolution_x * share), round(scene.render.resolution_y * share)]


def layer_notes(layer):
    """What these records cannot hold, in words."""
    notes = []
    if layer.invert:
        notes.append("is inverted; the inversion was left out")
    if layer.blend not in {"ADD", "MERGE_ADD"}:
        notes.append(f"is blended as {layer.blend}; it was read as if added")
    if any(point.parent.id for spline in layer.splines for point in spline.points):
        notes.append(
            "follows a tracking marker; that movement was left out: clear the parent "
            "and key the shape, then export again"
        )
    return notes


def place(point):
    """A mask point: itself, left and right tangent ends."""
    return [*map(float, point.co), *map(float, point.handle_left), *map(float, point.handle_right)]


def hidden(layer):
    """Whether it is switched off. Open shapes are never rendered, that says nothing of them."""
    closed = any(spline.use_cyclic for spline in layer.splines)
    return bool(layer.hide or (layer.hide_render and closed))


def entry(layer):
    """A layer without its frames."""
    return {
        "name": layer.name,
        "alpha": [],
        "hidden": hidden(layer),
        "splines": [
            {
                "closed": bool(spline.use_cyclic),
                "feathered": any(
                    point.weight > 0 or any(extra.weight > 0 for extra in point.feather_points)
                    for point in spline.points
                ),
                "points": [],
            }
            for spline in layer.splines
        ],
        "notes": layer_notes(layer),
    }


def export():
    """All masks over the scene's frames, filled in by Blender itself."""
    scene = bpy.context.scene
    current = scene.frame_current
    frames = list(range(scene.frame_start, scene.frame_end + 1))
    masks = [
        {"name": mask.name, "layers": [entry(layer) for layer in mask.layers]}
        for mask in bpy.data.masks
    ]
    for frame in frames:
        scene.frame_set(frame)
        graph = bpy.context.evaluated_depsgraph_get()
        for mask, said in zip(bpy.data.masks, masks):
            drawn = mask.evaluated_get(graph)
            for layer, layer_said in zip(drawn.layers, said["layers"]):
                layer_said["alpha"].append(float(layer.alpha))
                for spline, spline_said in zip(layer.splines, layer_said["splines"]):
                    spline_said["points"].append([place(point) for point in spline.points])
    scene.frame_set(current)
    return {
        "schema": "laikaroto.blender/1",
        "blender": bpy.app.version_string,
        "size": picture_size(scene),
        "frames": frames,
        "masks": masks,
    }


def out_path():
    """Where to write: the name after --, else beside the .blend file."""
    if "--" in sys.argv and sys.argv[-1] != "--":
        return sys.argv[-1]
    if not bpy.data.filepath:
        raise SystemExit("laikaroto: save the .blend file first, the export will lie beside it")
    return os.path.splitext(bpy.data.filepath)[0] + ".masks.json"


def main():
    """Write the export through a sibling, so that it is whole or not there."""
    path = out_path()
    with open(path + ".part", "w", encoding="utf-8") as stream:
        json.dump(export(), stream)
    os.replace(path + ".part", path)
    print("laikaroto: wrote", path)


if __name__ == "__main__":
    main()
