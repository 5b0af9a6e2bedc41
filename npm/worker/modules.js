// The head of the bundle: a module system of thirty lines, so that the worker's script is one file on disk.
//
// Invariant: without LUSTER_BOOT nothing is started. Node runs `-r` scripts again in every worker thread; a thread is
// no worker of ours, and only has our flag taken from what it sees.

'use strict';

const definitions = new Map();
const loaded = new Map();

/** Declares a module; its body runs when it is first required. */
function define(name, body) {
    definitions.set(name, body);
}

/** `./name` is a module of the bundle, anything else is Node's. */
function requireHere(request) {
    if (!request.startsWith('./')) {
        return require(request);
    }
    const name = request.slice('./'.length);
    let module = loaded.get(name);
    if (module === undefined) {
        module = { exports: {} };
        loaded.set(name, module);
        definitions.get(name)(requireHere, module, module.exports);
    }
    return module.exports;
}
