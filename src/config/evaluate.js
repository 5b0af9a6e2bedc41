// Runs a configuration that is a program, and hands its value to luster as JSON over a descriptor of its own, so
// that whatever the program prints goes to the user and cannot be taken for the value. Given to node by `-e`.
//
// Arguments: descriptor, size limit in bytes, nesting limit, luster's own path, the file, how to load it, and the
// command line's CONFIG. The reply is its length in bytes, a line feed, and JSON:
// {type, value, odd} or {threw: stack} or {tooLarge: bytes}.
'use strict';
{
    const fs = require('fs');
    const Module = require('module');
    const path = require('path');
    const types = require('util').types;
    const inspect = require('util').inspect;
    const pathToFileURL = require('url').pathToFileURL;
    const EventEmitter = require('events');
    const webcrypto = require('crypto').webcrypto;

    const [fd, sizeLimit, depthLimit, program, file, flavour, ...rest] = process.argv.slice(1);

    // Kept from before the configuration runs: it may replace any of these.
    const stringify = JSON.stringify;
    const writeSync = fs.writeSync;
    const exit = process.reallyExit.bind(process);
    const isFinite = Number.isFinite;

    // Ends the process without `exit` listeners: the configuration meant them for the end of luster, not of this
    // reading. What was printed is out already, since Node writes to files, pipes and terminals synchronously here.
    const reply = answer => {
        let body = Buffer.from(stringify(answer));
        if (body.length > Number(sizeLimit)) {
            body = Buffer.from(stringify({ tooLarge: body.length }));
        }
        const whole = Buffer.concat([Buffer.from(body.length + '\n'), body]);
        for (let sent = 0; sent < whole.length;) {
            sent += writeSync(Number(fd), whole, sent);
        }
        exit(0);
    };

    const fail = error => {
        let text;
        try {
            text = error instanceof Error && typeof error.stack === 'string' ? error.stack : inspect(error);
        } catch (_) {
            text = 'an error that cannot be shown';
        }
        // The lines about this script mean nothing to the reader.
        reply({ threw: wellFormed(text.split('\n').filter(line => !/^ +at .*\[eval\]/.test(line)).join('\n')) });
    };

    // JSON for luster must be valid UTF-8: halves of surrogate pairs become U+FFFD.
    const wellFormed = text => text.replace(/\p{Surrogate}/gu, '\ufffd');

    // What JSON.stringify would keep, but never failing: circular, too deep and throwing parts are left out, since
    // they can only belong to what extensions read for themselves. `odd` takes what JSON has no word for.
    const odd = Object.create(null);
    const seen = new Map();
    const note = (at, what) => {
        if (at.length > 0 && at.length <= 3) {
            odd[at.join('.')] = what;
        }
        return undefined;
    };
    const plain = (value, at, above) => {
        if (value instanceof Date || types.isDate(value)) {
            note(at, 'date');
        }
        if (value !== null && typeof value === 'object' && typeof value.toJSON === 'function') {
            value = value.toJSON(at.length > 0 ? at[at.length - 1] : '');
        }
        if (types.isBoxedPrimitive(value)) {
            value = value.valueOf();
        }
        switch (typeof value) {
            case 'string':
                return wellFormed(value);
            case 'number':
                return isFinite(value) ? value : (note(at, String(value)), null);
            case 'boolean':
                return value;
            case 'object':
                return value === null ? null : inner(value, at, above);
            case 'undefined':
                return undefined;
            default:
                return note(at, typeof value);
        }
    };
    const inner = (value, at, above) => {
        const times = (seen.get(value) || 0) + 1;
        seen.set(value, times);
        // An object met a thousand times belongs to a graph that has no end as a tree.
        if (above.includes(value) || above.length >= Number(depthLimit) || times > 1000) {
            return undefined;
        }
        above.push(value);
        let copy;
        if (Array.isArray(value)) {
            copy = Array.from(value, (item, i) => {
                const kept = guarded(() => plain(item, [...at, i], above));
                return kept === undefined ? null : kept;
            });
        } else {
            if (types.isRegExp(value)) {
                note(at, 'regexp');
            } else if (types.isNativeError(value)) {
                note(at, 'error');
            }
            // Without a prototype, so that a key named __proto__ is a key.
            copy = Object.create(null);
            for (const key of Object.keys(value)) {
                copy[wellFormed(key)] = guarded(() => plain(value[key], [...at, key], above));
            }
        }
        above.pop();
        return copy;
    };
    const guarded = read => {
        try {
            return read();
        } catch (_) {
            return undefined;
        }
    };

    const typeOf = value => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);

    // A module with a default export means that one, whether it is real or was compiled to CommonJS.
    const exported = value => {
        if (types.isModuleNamespaceObject(value)) {
            return 'default' in value ? value.default : { ...value };
        }
        const own = name => Object.prototype.hasOwnProperty.call(value, name);
        const compiled = value !== null && typeof value === 'object' && value.__esModule && own('default') && !own('app');
        return compiled ? value.default : value;
    };

    // The configuration should feel as if luster itself had required it.
    const main = new Module(program, null);
    main.filename = program;
    main.paths = Module._nodeModulePaths(path.dirname(program));
    main.loaded = true;
    process.mainModule = main;
    process.argv = [process.execPath, program, ...rest];
    // Without `-e`, this script and what some Nodes keep after it.
    process.execArgv = process.execArgv.slice(0, process.execArgv.lastIndexOf('-e'));

    // `-e` puts modules and CommonJS's own names among the globals, where a real program would not find them. What is
    // a global everywhere stays; `crypto` has been hidden by the module of that name, and comes back where it was.
    const tidyGlobals = () => {
        const everywhere = ['process', 'console'];
        for (const name of ['require', 'module', 'exports', '__filename', '__dirname', ...Module.builtinModules]) {
            if (!everywhere.includes(name)) {
                delete globalThis[name];
            }
        }
        if (parseInt(process.versions.node, 10) >= 19) {
            Object.defineProperty(globalThis, 'crypto', {
                configurable: true,
                enumerable: true,
                get: () => webcrypto,
                set: undefined,
            });
        }
    };

    // A configuration may ask luster who it is; there need not be a package to ask.
    const stub = new Module('luster', null);
    stub.exports = Object.assign(new EventEmitter(), { isMaster: true, isWorker: false, extensions: {} });
    stub.loaded = true;
    const resolveFilename = Module._resolveFilename;
    Module._resolveFilename = function (request, ...others) {
        try {
            return resolveFilename.call(this, request, ...others);
        } catch (error) {
            if (request !== 'luster' || !error || error.code !== 'MODULE_NOT_FOUND') {
                throw error;
            }
            Module._cache.luster = stub;
            return 'luster';
        }
    };

    const load = async () => {
        if (flavour === 'es') {
            return import(pathToFileURL(file).href);
        }
        try {
            return main.require(file);
        } catch (error) {
            // Newer Nodes tell ES modules by their syntax, and then refuse those with a top-level await.
            if (error && error.code === 'ERR_REQUIRE_ASYNC_MODULE') {
                return import(pathToFileURL(file).href);
            }
            throw error;
        }
    };

    const run = async () => {
        const value = await exported(await load());
        if (value === null || typeof value !== 'object' || Array.isArray(value)) {
            reply({ type: typeOf(value), value: null, odd });
        }
        const copy = plain(value, [], []);
        reply({ type: typeOf(copy), value: copy, odd });
    };

    // Not at once: when `-e` is done with this script, it puts one of its globals back.
    setImmediate(() => {
        tidyGlobals();
        run().catch(fail);
    });
}
