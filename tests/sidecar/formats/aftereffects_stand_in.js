// Stands in for After Effects: runs a script, prints what the composition shows on each frame.
//
// Only the objects and properties named here exist, and like the real ones they refuse what they
// do not know. Usage: node aftereffects_stand_in.js FILE.jsx
"use strict";
const fs = require("fs");
const vm = require("vm");

const LINEAR = 6612, HOLD = 6614;

class Property {
    constructor(dimensions) { this.keys = []; this.dimensions = dimensions; }
    get numKeys() { return this.keys.length; }
    setValueAtTime(time, value) {
        if (!Number.isFinite(time)) throw new Error("time is no number");
        if (this.dimensions && [].concat(value).length !== this.dimensions) {
            throw new Error("wanted " + this.dimensions + " numbers");
        }
        this.keys = this.keys.filter((key) => Math.abs(key.time - time) > 1e-9);
        this.keys.push({ time: time, value: value, kind: LINEAR });
        this.keys.sort((a, b) => a.time - b.time);
    }
    setValuesAtTimes(times, values) {
        if (times.length !== values.length) throw new Error("times and values differ in number");
        times.forEach((time, i) => this.setValueAtTime(time, values[i]));
    }
    setInterpolationTypeAtKey(index, kind) {
        if (index < 1 || index > this.keys.length) throw new Error("no key " + index);
        if (kind !== LINEAR && kind !== HOLD) throw new Error("no such interpolation");
        this.keys[index - 1].kind = kind;
    }
    at(time, mix) {
        const near = 1e-9;
        if (time <= this.keys[0].time + near) return this.keys[0].value;
        for (let i = 0; i + 1 < this.keys.length; i++) {
            const a = this.keys[i], b = this.keys[i + 1];
            if (time < b.time - near) {
                const share = a.kind === HOLD ? 0 : (time - a.time) / (b.time - a.time);
                return mix(a.value, b.value, share);
            }
        }
        return this.keys[this.keys.length - 1].value;
    }
}

const number = (a, b, s) => a + (b - a) * s;
const list = (a, b, s) => a.map((x, i) => Array.isArray(x) ? list(x, b[i], s) : number(x, b[i], s));
const path = (a, b, s) => ({
    closed: a.closed,
    vertices: list(a.vertices, b.vertices, s),
    inTangents: list(a.inTangents, b.inTangents, s),
    outTangents: list(a.outTangents, b.outTangents, s),
});

class Group {
    constructor(children, makes) { this.children = children; this.makes = makes; this.added = []; }
    property(name) {
        if (!(name in this.children)) throw new Error("no property " + name);
        return this.children[name];
    }
    addProperty(name) {
        if (!this.makes || !(name in this.makes)) throw new Error("cannot add " + name);
        const made = this.makes[name]();
        this.added.push(made);
        return made;
    }
}

const mask = () => new Group({
    "ADBE Mask Shape": new Property(0), "ADBE Mask Opacity": new Property(1),
});
const layer = (name) => Object.assign(new Group({
    "ADBE Mask Parade": new Group({}, { "ADBE Mask Atom": mask }),
    "ADBE Transform Group": new Group({
        "ADBE Position": new Property(2), "ADBE Opacity": new Property(1),
    }),
}), { name: name });

const comps = [];
const items = {
    addComp(name, width, height, pixelAspect, duration, frameRate) {
        const made = { name, width, height, pixelAspect, duration, frameRate, solids: [], nulls: [] };
        made.layers = {
            addSolid(color, solidName) { made.solids.push(layer(solidName)); return made.solids.at(-1); },
            addNull() { made.nulls.push(layer("null")); return made.nulls.at(-1); },
        };
        made.openInViewer = () => null;
        comps.push(made);
        return made;
    },
};
let undo = 0;
const world = {
    app: { project: { items }, beginUndoGroup: () => undo++, endUndoGroup: () => undo-- },
    Shape: class Shape {},
    MaskMode: { ADD: "add", NONE: "none" },
    KeyframeInterpolationType: { LINEAR, HOLD },
};
vm.runInNewContext(fs.readFileSync(process.argv[2], "ascii"), world);
if (undo !== 0) throw new Error("undo group left open");

const [comp] = comps;
const first = Math.round(comp.displayStartTime * comp.frameRate);
const count = Math.round(comp.duration * comp.frameRate);
const shown = {
    name: comp.name, size: [comp.width, comp.height], pixelAspect: comp.pixelAspect,
    fps: comp.frameRate, first: first, last: first + count - 1, shapes: {}, tracks: {},
};
for (const each of comp.solids[0].property("ADBE Mask Parade").added) {
    const frames = {};
    for (let i = 0; i < count; i++) {
        frames[first + i] = {
            ...each.property("ADBE Mask Shape").at(i / comp.frameRate, path),
            opacity: each.property("ADBE Mask Opacity").at(i / comp.frameRate, number),
        };
    }
    shown.shapes[each.name] = {
        mode: each.maskMode, keys: each.property("ADBE Mask Shape").numKeys, frames: frames,
    };
}
for (const each of comp.nulls) {
    const transform = each.property("ADBE Transform Group");
    const frames = {};
    for (let i = 0; i < count; i++) {
        frames[first + i] = {
            xy: transform.property("ADBE Position").at(i / comp.frameRate, list),
            opacity: transform.property("ADBE Opacity").at(i / comp.frameRate, number),
        };
    }
    shown.tracks[each.name] = frames;
}
process.stdout.write(JSON.stringify(shown));
