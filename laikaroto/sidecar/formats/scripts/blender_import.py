"""Makes masks in Blender: the code that follows the data in a file of `laikaroto export`.

Open the file in Blender's Text editor and run it, or: blender --python FILE. One mask comes in,
with a layer for each shape. Runs inside Blender 3.6 or newer and needs nothing else.
"""

import bpy

EXPORT_TEXT = "laikaroto_export.py"

# roto: {"name", "size": [w, h], "frames": [first, last], "fps", "shapes": [
#   {"name", "closed", "keys": [[frame, [[x, y, in_x, in_y, out_x, out_y], ...]], ...],
#    "opacity": [[frame, 0 or 1], ...]}], "export_script"}; plate px, y down, tangents absolute.


def mask_place(x, y, size):
    """Plate px (y down) to mask coordinates: the longer side is 1, y up, both around 0.5."""
    longer = max(size)
    return (x - size[0] / 2) / longer + 0.5, (size[1] / 2 - y) / longer + 0.5


def set_points(spline, points, size):
    """Give the points of a mask spline their places and tangents."""
    for place, point in zip(points, spline.points):
        point.co = mask_place(place[0], place[1], size)
        point.handle_left = mask_place(place[2], place[3], size)
        point.handle_right = mask_place(place[4], place[5], size)


def make_layer(mask, shape, size):
    """A layer with one spline that has as many points as the shape, on its first key."""
    layer = mask.layers.new(name=shape["name"])
    spline = layer.splines.new()
    count = len(shape["keys"][0][1])
    if count > 1:
        spline.points.add(count - 1)  # a new spline has one already
    spline.use_cyclic = shape["closed"]
    spline.use_fill = shape["closed"]
    layer.hide_render = not shape["closed"]  # Blender draws a thin line of an open one otherwise
    for point in spline.points:
        point.handle_left_type = point.handle_right_type = "FREE"
        point.weight = 0.0
    set_points(spline, shape["keys"][0][1], size)
    select(layer, False)
    return layer


def select(layer, state):
    """Select all points of a layer, or none."""
    for spline in layer.splines:
        for point in spline.points:
            point.select = state


def key_layer(scene, layer, shape, size):
    """Key a layer; Blender keys those in which something is selected, so this one alone is."""
    select(layer, True)
    for frame, points in shape["keys"]:
        scene.frame_set(frame)
        set_points(layer.splines[0], points, size)
        if bpy.ops.mask.shape_key_insert() != {"FINISHED"}:
            raise RuntimeError(f"Blender would not key {shape['name']!r} on frame {frame}")
    select(layer, False)
    for frame, alpha in shape["opacity"]:
        layer.alpha = alpha
        layer.keyframe_insert("alpha", frame=frame)


def in_mask_editor(mask, work):
    """Call work() where Blender allows the keying of masks: in an image editor in mask mode."""
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda each: each.width * each.height)
    shown = area.ui_type
    area.type = "IMAGE_EDITOR"
    space = area.spaces.active
    mode = space.mode
    space.mode = "MASK"
    space.mask = mask
    region = next(each for each in area.regions if each.type == "WINDOW")
    try:
        with bpy.context.temp_override(window=window, area=area, region=region):
            work()
    finally:
        space.mode = mode
        area.ui_type = shown


def prepare_scene(scene, roto):
    """A scene nobody has saved takes over size, range and rate; one of an artist's keeps its."""
    first, last = roto["frames"]
    if bpy.data.filepath:
        print(f"laikaroto: drawn for {roto['size']} px, frames {first}-{last}")
        return
    scene.render.resolution_x, scene.render.resolution_y = roto["size"]
    scene.render.resolution_percentage = 100
    scene.frame_start, scene.frame_end = first, last
    rate = round(roto["fps"])
    scene.render.fps = rate
    scene.render.fps_base = rate / roto["fps"]


def leave_export_script(code):
    """Put the script for the way back into the file: the Text editor lists it, Alt+P runs it."""
    if EXPORT_TEXT not in bpy.data.texts:
        bpy.data.texts.new(EXPORT_TEXT).write(code)


def make_mask(roto):
    """Make the mask of a roto and return it."""
    scene = bpy.context.scene
    prepare_scene(scene, roto)
    mask = bpy.data.masks.new(name=roto["name"])
    mask.use_fake_user = True  # Blender does not save what nobody uses
    mask.frame_start, mask.frame_end = roto["frames"]
    mask["laikaroto_size"] = roto["size"]
    layers = [make_layer(mask, shape, roto["size"]) for shape in roto["shapes"]]

    def key_all():
        for layer, shape in zip(layers, roto["shapes"]):
            key_layer(scene, layer, shape, roto["size"])

    if layers:
        in_mask_editor(mask, key_all)
    scene.frame_set(roto["frames"][0])
    leave_export_script(roto["export_script"])
    return mask
