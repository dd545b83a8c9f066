"""Run by the Python of Blender: make the mask, export it again, render frames of it.

Arguments: our file, our export script, JSON to write, folder of the pictures, frames.
"""

import runpy
import sys
from pathlib import Path

import bpy


def render(folder: Path, frames: list[int]) -> None:
    scene = bpy.context.scene
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    mask = tree.nodes.new("CompositorNodeMask")
    mask.mask = bpy.data.masks[0]
    mask.size_source = "SCENE"
    mask.use_feather = False
    out = tree.nodes.new("CompositorNodeComposite")
    tree.links.new(mask.outputs[0], out.inputs[0])
    settings = scene.render.image_settings
    settings.file_format = "OPEN_EXR"
    settings.color_depth = "32"
    settings.color_mode = "RGB"
    for frame in frames:
        scene.frame_set(frame)
        scene.render.filepath = str(folder / f"{frame}.exr")
        bpy.ops.render.render(write_still=True)


def main() -> None:
    ours, export, out, folder, *frames = sys.argv[1:]
    runpy.run_path(ours, run_name="__main__")
    sys.argv = ["blender", "--", out]
    runpy.run_path(export, run_name="__main__")
    assert bpy.data.texts["laikaroto_export.py"].as_string() == Path(export).read_text()
    scene = bpy.context.scene
    print("scene", scene.render.resolution_x, scene.render.resolution_y, scene.frame_start,
          scene.frame_end, scene.render.fps / scene.render.fps_base)  # fmt: skip
    render(Path(folder), [int(frame) for frame in frames])


main()
