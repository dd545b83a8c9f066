"""Run by the Python of Blender: masks as an artist might leave them, exported by our script.

Arguments: our file, our export script, the .blend to save. The scene has settings of its own.
"""

import runpy
import sys

import bpy


def spline(layer, cyclic, weight=0.0):
    made = layer.splines.new()
    made.points.add(2)
    made.use_cyclic = cyclic
    for point, place in zip(made.points, ((0.2, 0.4), (0.6, 0.3), (0.5, 0.7)), strict=True):
        point.co = point.handle_left = point.handle_right = place
        point.weight = weight
    return made


def main() -> None:
    ours, export, blend = sys.argv[1:]
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 1000, 500
    scene.render.resolution_percentage = 100
    scene.frame_start, scene.frame_end = 1003, 1005
    mask = bpy.data.masks.new("by hand")
    mask.use_fake_user = True
    for name in ("plain", "odd", "off", "soft", "followed"):
        layer = mask.layers.new(name=name)
        made = spline(layer, cyclic=name != "plain", weight=0.5 if name == "soft" else 0.0)
        if name == "odd":
            spline(layer, cyclic=True)
            layer.invert = True
            layer.blend = "SUBTRACT"
        layer.hide_render = name in ("plain", "off")
        if name == "followed":
            made.points[0].parent.id = bpy.data.movieclips.load(sys.argv[0] + ".png")
    bpy.ops.wm.save_as_mainfile(filepath=blend)
    runpy.run_path(ours, run_name="__main__")  # into a saved file: it keeps its settings
    print("scene", scene.render.resolution_x, scene.render.resolution_y, scene.frame_start,
          scene.frame_end)  # fmt: skip
    bpy.data.masks.remove(bpy.data.masks["ev010 hero v001"])
    sys.argv = ["blender"]
    runpy.run_path(export, run_name="__main__")


main()
