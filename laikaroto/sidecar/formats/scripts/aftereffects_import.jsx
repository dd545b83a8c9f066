// Makes masks in After Effects from the data above: File > Scripts > Run Script File.
//
// ROTO: {name, size: [w, h], pixelAspect, frames: [first, last], fps,
//   shapes: [{name, closed, keys: [frame...], shapes: [[vertices, inTangents, outTangents]...],
//             seen: [[frame, 0 or 1]...]}],
//   tracks: [{name, frames: [frame...], places: [[x, y]...], seen: [[frame, 0 or 1]...]}]}
// Pixels, y down; tangents relative to their vertex. Nothing but ECMAScript 3 is used here.

function laikarotoTime(frame) {
    // Time 0 of a composition is its first frame, whatever number that has on display.
    return (frame - ROTO.frames[0]) / ROTO.fps;
}

function laikarotoTimes(frames) {
    var times = [];
    for (var i = 0; i < frames.length; i++) {
        times.push(laikarotoTime(frames[i]));
    }
    return times;
}

function laikarotoOpacity(property, seen) {
    // Hold keys: on or off, nothing in between.
    for (var i = 0; i < seen.length; i++) {
        property.setValueAtTime(laikarotoTime(seen[i][0]), 100 * seen[i][1]);
    }
    for (var k = 1; k <= property.numKeys; k++) {
        property.setInterpolationTypeAtKey(k, KeyframeInterpolationType.HOLD);
    }
}

function laikarotoMask(layer, drawn) {
    var mask = layer.property("ADBE Mask Parade").addProperty("ADBE Mask Atom");
    mask.name = drawn.name;
    mask.maskMode = drawn.closed ? MaskMode.ADD : MaskMode.NONE;
    var shapes = [];
    for (var i = 0; i < drawn.shapes.length; i++) {
        var shape = new Shape();
        shape.vertices = drawn.shapes[i][0];
        shape.inTangents = drawn.shapes[i][1];
        shape.outTangents = drawn.shapes[i][2];
        shape.closed = drawn.closed;
        shapes.push(shape);
    }
    var path = mask.property("ADBE Mask Shape");
    path.setValuesAtTimes(laikarotoTimes(drawn.keys), shapes);
    for (var k = 1; k <= path.numKeys; k++) {
        path.setInterpolationTypeAtKey(k, KeyframeInterpolationType.LINEAR);
    }
    laikarotoOpacity(mask.property("ADBE Mask Opacity"), drawn.seen);
}

function laikarotoTrack(comp, track) {
    var point = comp.layers.addNull(comp.duration);
    point.name = track.name;
    var position = point.property("ADBE Transform Group").property("ADBE Position");
    position.setValuesAtTimes(laikarotoTimes(track.frames), track.places);
    for (var k = 1; k <= position.numKeys; k++) {
        position.setInterpolationTypeAtKey(k, KeyframeInterpolationType.LINEAR);
    }
    laikarotoOpacity(point.property("ADBE Transform Group").property("ADBE Opacity"), track.seen);
}

function laikarotoImport() {
    var count = ROTO.frames[1] - ROTO.frames[0] + 1;
    var comp = app.project.items.addComp(
        ROTO.name, ROTO.size[0], ROTO.size[1], ROTO.pixelAspect, count / ROTO.fps, ROTO.fps
    );
    comp.displayStartTime = ROTO.frames[0] / ROTO.fps;
    var layer = comp.layers.addSolid(
        [1, 1, 1], "roto", ROTO.size[0], ROTO.size[1], ROTO.pixelAspect, comp.duration
    );
    for (var i = 0; i < ROTO.shapes.length; i++) {
        laikarotoMask(layer, ROTO.shapes[i]);
    }
    for (var t = 0; t < ROTO.tracks.length; t++) {
        laikarotoTrack(comp, ROTO.tracks[t]);
    }
    comp.openInViewer();
}

app.beginUndoGroup("laikaroto");
try {
    laikarotoImport();
} finally {
    app.endUndoGroup();
}
