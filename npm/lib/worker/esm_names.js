// Makes `import luster from 'luster'` mean this process's Worker, in applications that are ES modules.
//
// Invariants: an application that is no ES module never pays for this; the hook answers for the two names of ours and
// passes every other on; nothing here fails because a file or a thread is forbidden. Node before 18.19 has no hooks: there,
// `createRequire(import.meta.url)('luster')` works.

const fs = require('fs');
const path = require('path');
const Module = require('module');
const { GLOBAL_NAME } = require('../shared/names');

const WORKER_URL = `data:text/javascript,export default globalThis[Symbol.for('${GLOBAL_NAME}')]`;
const WRAPPER_URL = 'data:text/javascript,import{createRequire}from"module";'
    + 'const w=createRequire("file:///")("luster/lib/worker_wrapper");export default w;export const{STATES,EVENTS}=w';

const TARGETS = {
    'luster': WORKER_URL,
    'luster/lib/luster.js': WORKER_URL,
    'luster/lib/worker_wrapper': WRAPPER_URL,
    'luster/lib/worker_wrapper.js': WRAPPER_URL,
};

exports.installFor = function installFor(mainFile) {
    if (!isModule(mainFile)) {
        return;
    }
    if (typeof Module.registerHooks === 'function') {
        Module.registerHooks({ resolve: resolveHere });
    } else if (typeof Module.register === 'function' && mayHaveThreads()) {
        Module.register(`data:text/javascript,${encodeURIComponent(threadHook())}`);
    }
}

/** Older Nodes' hooks run in a thread, which the permission model may forbid. */
function mayHaveThreads() {
    return !process.permission || process.permission.has('worker');
};

function resolveHere(specifier, context, nextResolve) {
    const url = context.conditions.includes('import') ? TARGETS[specifier] : undefined;
    return url === undefined ? nextResolve(specifier, context) : { url, format: 'module', shortCircuit: true };
}

/** The same hook as text, for the thread in which older Nodes run it. */
function threadHook() {
    return `const targets=${JSON.stringify(TARGETS)};export async function resolve(s,c,next){`
        + 'return Object.hasOwn(targets,s)?{url:targets[s],format:"module",shortCircuit:true}:next(s,c)}';
}

function isModule(file) {
    const extension = path.extname(file);
    if (extension === '.mjs' || extension === '.mts') {
        return true;
    }
    if (extension === '.cjs' || extension === '.cts') {
        return false;
    }
    const type = packageTypeOf(path.dirname(file));
    return type === 'module' || type === undefined && looksLikeModule(file);
}

/** Newer Nodes tell by the syntax. A guess that is wrong costs a little time and nothing else. */
function looksLikeModule(file) {
    try {
        return typeof Module.registerHooks === 'function'
            && /^\s*(import|export)\b/m.test(fs.readFileSync(file, 'utf8'));
    } catch {
        // Node complains of it when it loads the application.
        return false;
    }
}

/** The `type` of the nearest package.json, as Node looks for it. */
function packageTypeOf(folder) {
    for (let here = folder; path.basename(here) !== 'node_modules'; here = path.dirname(here)) {
        const file = path.join(here, 'package.json');
        if (isThere(file)) {
            return typeIn(file);
        }
        if (path.dirname(here) === here) {
            break;
        }
    }
    return undefined;
}

/** What this process may not read is not there, as for Node. */
function isThere(file) {
    try {
        // Asked first, because an exception for each folder is what would be slow here.
        return fs.existsSync(file);
    } catch {
        return false;
    }
}

function typeIn(packageFile) {
    try {
        return JSON.parse(fs.readFileSync(packageFile, 'utf8')).type;
    } catch {
        // Node complains of it when it loads the application.
        return undefined;
    }
}
