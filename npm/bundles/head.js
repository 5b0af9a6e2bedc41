// The head of a bundle: a module system of thirty lines, so that what luster brings along is one file on disk.
//
// Invariant: declaring runs nothing; what is run, and when, is said at the bundle's end.

'use strict';

const definitions = new Map();
const loaded = new Map();

/** Declares a module; its body runs when it is first required. */
function define(name, body) {
    definitions.set(name, body);
}

/** `folder/name` of the bundle. */
function load(name) {
    let module = loaded.get(name);
    if (module === undefined) {
        module = { exports: {} };
        loaded.set(name, module);
        definitions.get(name)(requireFrom(name.slice(0, name.indexOf('/'))), module, module.exports);
    }
    return module.exports;
}

/** `./name` and `../folder/name` are modules of the bundle, anything else is Node's. */
function requireFrom(folder) {
    return request => {
        if (request.startsWith('./')) {
            return load(`${folder}/${request.slice('./'.length)}`);
        }
        return request.startsWith('../') ? load(request.slice('../'.length)) : require(request);
    };
}
