// Runs a configuration that is a program, and says what it exports.
//
// Invariant: to the configuration it looks as if luster itself had required it.

const path = require('path');
const Module = require('module');
const types = require('util').types;
const { inspect } = require('util');
const { pathToFileURL } = require('url');
const { spawnSync } = require('child_process');
const plain = require('../master/plain');

/** What Node may take to look at a file again, in ms. */
const CHECK_LIMIT = 10000;

/** The module that everything is required from: luster's own program, of which there is nothing to load. */
exports.become = function become({ program, args }) {
    const main = new Module(program, null);
    main.filename = program;
    main.paths = Module._nodeModulePaths(path.dirname(program));
    main.loaded = true;
    process.mainModule = main;
    process.argv = [process.execPath, program, ...args];
    return main;
};

/** Resolves with the exported value, waited for if it is a promise. */
exports.load = async function load(main, { config, flavour }) {
    return exported(await loadModule(main, config, flavour));
};

/** The answer for luster: `{type, value, odd}`. */
exports.describe = function describe(value) {
    const type = plain.typeOf(value);
    if (type !== 'object') {
        return { type, value: null, odd: {} };
    }
    const copy = plain(value);
    return { type: plain.typeOf(copy.value), ...copy };
};

/** The answer for an error, with its stack less the lines that are about this script. */
exports.describeError = function describeError(error, file) {
    let text;
    try {
        text = error instanceof Error && typeof error.stack === 'string' ? error.stack : inspect(error);
    } catch {
        text = 'an error that cannot be shown';
    }
    text = placeOf(error, file) + text;
    const lines = text.split('\n').filter(line => !/^ +at /.test(line) || !line.includes(__filename));
    return { threw: plain.wellFormed(lines.join('\n')) };
};

/** Where an ES module does not parse, as Node shows it for CommonJS: `file:line`, the line, carets. Only Node's own report has it. */
function placeOf(error, file) {
    if (!(error instanceof SyntaxError) || /^\S+:\d+\n/.test(error.stack)) {
        return '';
    }
    let stderr;
    try {
        stderr = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8', timeout: CHECK_LIMIT }).stderr;
    } catch {
        // Node's permission model may forbid it.
    }
    const place = /(?:^|\n)(.+:\d+\n.*\n *\^+\n\n)SyntaxError: /.exec(stderr || '');
    return place === null ? '' : place[1];
}

async function loadModule(main, file, flavour) {
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
}

/** A module with a default export means that one, whether it is real or was compiled to CommonJS. */
function exported(value) {
    if (types.isModuleNamespaceObject(value)) {
        return 'default' in value ? value.default : { ...value };
    }
    const own = name => Object.prototype.hasOwnProperty.call(value, name);
    const compiled = value !== null && typeof value === 'object' && value.__esModule && own('default') && !own('app');
    return compiled ? value.default : value;
}
