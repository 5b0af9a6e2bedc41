// Node's compile cache: what the application's modules were compiled to in an earlier process is read instead of made.
//
//     $CACHE_DIRECTORY | $XDG_CACHE_HOME/luster | ~/.cache/luster | /var/cache/luster (root)
//     └── one folder for each app, by the path it is started by
//         └── one for each generation of it, by its real path, time and size: a deploy makes a new one
//             └── Node's own, one for each of its versions
//
// Invariants: V8 trusts what it reads, so only a folder that is this user's alone is used; nothing here can fail a start;
// what is kept has a bound; whoever has chosen a cache, or none, by Node's own variables has that.

const fs = require('fs');
const path = require('path');
const Module = require('module');

/** Generations kept of each app, and apps kept. */
const GENERATIONS = 3;
const APPS = 32;
/** From the application's being loaded to the writing of what is new, in ms: by then it serves. */
const WRITE_AFTER = 3000;
const OTHERS = 0o077;

/** The folder in use; null without one. */
let folder = null;

/** To be called before anything is loaded that is worth it. `main` is the application, or the script that loads it. */
exports.enable = function enable(main) {
    // In older Nodes there is none, and where files are restricted it would be refused.
    if (typeof Module.enableCompileCache !== 'function' || process.permission || isChosen(process.env)) {
        return;
    }
    try {
        const wanted = path.join(rootFolder(), nameOf(main), generationOf(main));
        const { status } = Module.enableCompileCache(wanted);
        if (status === Module.constants.compileCacheStatus.ENABLED) {
            folder = wanted;
        }
    } catch {
        // No folder, or none we may write: the application loads as it does without.
    }
};

/** The application is loaded. One worker writes what is new, soon, and clears away what is old; the others write at their end. */
exports.loaded = function loaded(wid) {
    if (folder !== null && wid === 1 && typeof Module.flushCompileCache === 'function') {
        setTimeout(() => {
            Module.flushCompileCache();
            tidy(path.dirname(folder)).catch(() => {});
        }, WRITE_AFTER).unref();
    }
};

/** Coverage is less exact with a cache, which is why Node's documentation advises against it. */
function isChosen(env) {
    return Boolean(env.NODE_COMPILE_CACHE || env.NODE_DISABLE_COMPILE_CACHE || env.NODE_V8_COVERAGE);
}

/** The first folder that is there or can be made, and is ours alone. */
function rootFolder() {
    for (const candidate of candidates(process.env)) {
        if (path.isAbsolute(candidate) && isOurs(candidate)) {
            return candidate;
        }
    }
    throw new Error('no folder');
}

function candidates({ CACHE_DIRECTORY, XDG_CACHE_HOME, HOME }) {
    const found = [];
    if (CACHE_DIRECTORY) {
        // systemd gives several, divided by colons, where several are configured.
        found.push(path.join(CACHE_DIRECTORY.split(':', 1)[0], 'luster'));
    }
    if (XDG_CACHE_HOME) {
        found.push(path.join(XDG_CACHE_HOME, 'luster'));
    }
    if (process.geteuid() === 0) {
        found.push('/var/cache/luster');
    } else if (HOME) {
        found.push(path.join(HOME, '.cache', 'luster'));
    }
    return found;
}

function isOurs(candidate) {
    // One by one: asked for all at once, Node never comes back from `/proc`.
    if (!exists(path.dirname(candidate)) || !exists(candidate)) {
        return false;
    }
    // Of the name itself: a symbolic link would lead wherever its owner likes.
    const about = fs.lstatSync(candidate);
    return about.isDirectory() && about.uid === process.geteuid() && (about.mode & OTHERS) === 0;
}

/** Whether it is there, or could be made. */
function exists(directory) {
    try {
        fs.mkdirSync(directory, { mode: 0o700 });
    } catch (error) {
        return error.code === 'EEXIST';
    }
    return true;
}

function generationOf(main) {
    const file = fs.realpathSync(main);
    const { mtimeMs, size } = fs.statSync(file);
    return nameOf(`${file} ${mtimeMs} ${size}`);
}

/** A name for a folder, by 2 x 32 bits of FNV-1a; two apps of one name would only share a cache. */
function nameOf(text) {
    const hash = seed => Array.from(text).reduce((sum, letter) => Math.imul(sum ^ letter.codePointAt(0), 16777619), seed);
    return [hash(0x811c9dc5), hash(0x050c5d1f)].map(sum => (sum >>> 0).toString(16).padStart(8, '0')).join('');
}

/** Removes all but the generations and apps that were used last. */
async function tidy(app) {
    const now = new Date();
    await Promise.all([folder, app].map(used => fs.promises.utimes(used, now, now)));
    await keep(app, GENERATIONS);
    await keep(path.dirname(app), APPS);
}

async function keep(parent, count) {
    const names = (await fs.promises.readdir(parent)).filter(name => /^[0-9a-f]{16}$/.test(name));
    const children = await Promise.all(names.map(async name => {
        const child = path.join(parent, name);
        return { child, time: (await fs.promises.stat(child)).mtimeMs };
    }));
    children.sort((a, b) => b.time - a.time);
    for (const { child } of children.slice(count)) {
        await fs.promises.rm(child, { recursive: true, force: true });
    }
}
