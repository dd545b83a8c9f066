"""Makes a Roto node in Natron: the code that follows the data in a file of `laikaroto export`.

In Natron's Script Editor: exec(open("FILE").read()). Or: Natron FILE. The calls are those that
Natron 2 itself writes when it exports a group as Python.
"""

# ROTO: {"name", "size": [w, h], "frames": [first, last], "fps", "shapes": [
#   {"name", "id", "closed", "keys": [[frame, [[x, y, in_x, in_y, out_x, out_y], ...]], ...],
#    "opacity": [[frame, 0 or 1], ...]}]}; px, y up, tangents absolute.


def make_bezier(context, shape):
    """One Bezier with a key for each of the shape's keys."""
    first, points = shape["keys"][0]
    bezier = context.createBezier(0, 0, first)
    bezier.setScriptName(shape["id"])
    bezier.setLabel(shape["name"])
    context.getBaseLayer().addItem(bezier)
    for _ in points[1:]:  # createBezier has made the first one
        bezier.addControlPoint(0, 0)
    for frame, points in shape["keys"]:
        for index, place in enumerate(points):
            bezier.setPointAtIndex(index, frame, *place)
            bezier.setFeatherPointAtIndex(index, frame, *place)
    if shape["closed"]:
        bezier.setCurveFinished(True)
    for frame, opacity in shape["opacity"]:
        bezier.getOpacityParam().setValueAtTime(opacity, frame)


def make_roto(app):
    """Make the Roto node of a project and return it."""
    node = app.createNode("fr.inria.built-in.Roto")
    node.setLabel(ROTO["name"])
    context = node.getRotoContext()
    for shape in ROTO["shapes"]:
        make_bezier(context, shape)
    first, last = ROTO["frames"]
    print("laikaroto: drawn for %s px, frames %d-%d" % (ROTO["size"], first, last))
    return node


def createInstance(app, group):
    """Natron calls this when it is started with the file."""
    make_roto(app)
