// The native luster binary that belongs to this package: where it is, and why it cannot be used.
//
// Invariant: a message names what was looked for, where, and what to do.

const { spawnSync } = require('child_process');
const fs = require('fs');
const path = require('path');

const SCOPE = '@luster';
const PLATFORM = `${process.platform}-${process.arch}`;

/** The platform packages there are, by Node's name for the platform. */
const PACKAGES = {
    'linux-x64': { gnu: `${SCOPE}/linux-x64-gnu`, musl: `${SCOPE}/linux-x64-musl` },
    'linux-arm64': { gnu: `${SCOPE}/linux-arm64-gnu`, musl: `${SCOPE}/linux-arm64-musl` },
};

/** What elf(5) calls the machines there are binaries for. */
const MACHINES = { x64: 62, arm64: 183 };

/** How long a program may take to say its version, in milliseconds. */
const CHECK_LIMIT = 10000;

/** No binary, or none that runs here. */
class BinaryError extends Error {
    get name() {
        return 'BinaryError';
    }

    get code() {
        return 'BINARY_UNUSABLE';
    }
}

exports.BinaryError = BinaryError;
exports.PACKAGES = PACKAGES;

/** The path of the binary. Throws a `BinaryError`. */
exports.find = function find() {
    const { LUSTER_BINARY } = process.env;
    if (LUSTER_BINARY) {
        return given(LUSTER_BINARY);
    }
    const packages = PACKAGES[PLATFORM];
    if (packages === undefined) {
        throw new BinaryError(`luster has no native binary for ${PLATFORM}, only for ${Object.keys(PACKAGES).join(' and ')}; `
            + 'a binary of your own can be named by the environment variable LUSTER_BINARY');
    }
    const libc = usesMusl() ? 'musl' : 'gnu';
    const found = [packages[libc], ...Object.values(packages)].map(resolve).find(Boolean) || built();
    if (found === undefined) {
        throw new BinaryError(`luster's native binary is missing: the package ${packages[libc]} is not installed beside `
            + `${path.join(__dirname, '..', '..')}. Install with optional dependencies (npm install without --omit=optional; `
            + `if a lock file made on another platform leaves it out, npm install ${packages[libc]}@${version()}), or name a `
            + 'binary by the environment variable LUSTER_BINARY');
    }
    return found;
};

/** What to say of a binary that was found and could not be run, for `error` as `child_process` gives it. */
exports.explain = function explain(binary, error) {
    const why = {
        ENOEXEC: 'it is a program for another kind of machine',
        ENOENT: 'it, or the C library it was built for, is not there',
        EACCES: 'it is not executable, or its file system is mounted noexec',
    }[error.code] || error.message;
    const { LUSTER_BINARY } = process.env;
    if (LUSTER_BINARY && path.resolve(LUSTER_BINARY) === binary) {
        return `LUSTER_BINARY is ${LUSTER_BINARY}, which cannot be run: ${why}. Name luster's native binary for this machine `
            + `(${PLATFORM}), or unset LUSTER_BINARY to use the one that was installed`;
    }
    return `luster's native binary ${binary} cannot be run: ${why}. Reinstall luster on this machine `
        + `(${PLATFORM}), or name a binary by the environment variable LUSTER_BINARY`;
};

/** Makes sure that the binary runs here. Throws a `BinaryError`. */
exports.check = function check(binary) {
    if (isForeign(binary)) {
        // Asked to run it, libuv's `execvp` would have a shell try.
        throw new BinaryError(exports.explain(binary, { code: 'ENOEXEC' }));
    }
    const { error, status, signal, stdout, stderr } = spawnSync(binary, ['--version'], {
        stdio: ['ignore', 'pipe', 'pipe'], timeout: CHECK_LIMIT, encoding: 'utf8', maxBuffer: 65536,
    });
    if (error) {
        throw new BinaryError(exports.explain(binary, error));
    }
    if (status !== 0 || !stdout.startsWith('luster ')) {
        const how = signal === null ? `exits with code ${status}` : `is killed by ${signal}`;
        const words = (stderr.trim() || stdout.trim()).split('\n', 1)[0];
        throw new BinaryError(exports.explain(binary, { message: `asked for its version, it ${how}${words && `: ${words}`}` }));
    }
};

function resolve(name) {
    try {
        return require.resolve(`${name}/bin/luster`);
    } catch {
        return undefined;
    }
}

/** In a checkout of luster's own repository: what cargo has built. */
function built() {
    const root = path.join(__dirname, '..', '..', '..');
    const file = path.join(root, 'target', 'release', 'luster');
    return fs.existsSync(path.join(root, 'Cargo.toml')) && fs.existsSync(file) ? file : undefined;
}

/** Whether this system's C library is musl, by the name of its loader. */
function usesMusl() {
    try {
        return fs.readdirSync('/lib').some(name => name.startsWith('ld-musl-'));
    } catch {
        return false;
    }
}

function given(file) {
    const absolute = path.resolve(file);
    const about = fs.statSync(absolute, { throwIfNoEntry: false });
    if (about === undefined) {
        throw new BinaryError(`LUSTER_BINARY is ${file}, and there is no such file; name luster's native binary, `
            + 'or unset it to use the one that was installed');
    }
    // Reading the head of a pipe would wait for ever.
    if (!about.isFile()) {
        const kind = about.isDirectory() ? 'a folder' : 'no file';
        throw new BinaryError(`LUSTER_BINARY is ${file}, which is ${kind}; name luster's native binary itself`);
    }
    if (!isProgram(absolute)) {
        throw new BinaryError(`LUSTER_BINARY is ${file}, which is no native program; name luster's native binary, not a script`);
    }
    return absolute;
}

/** Whether the file has the form of Linux's programs; see elf(5). */
function isProgram(file) {
    const header = headerOf(file);
    return header === null || header.toString('latin1', 0, 4) === '\x7fELF';
}

/** Node's name for the machines it is a program for, by its `e_machine`; undefined if that is no machine of ours. */
exports.machineOf = function machineOf(file) {
    const header = headerOf(file);
    return header === null ? undefined : Object.keys(MACHINES).find(name => MACHINES[name] === header.readUInt16LE(18));
};

/** Whether it is a program for another kind of machine. */
function isForeign(file) {
    return headerOf(file) !== null && process.arch in MACHINES && exports.machineOf(file) !== process.arch;
}

/** The first bytes of a file; null if it cannot be read: the attempt to run it says best what is wrong. */
function headerOf(file) {
    const header = Buffer.alloc(20);
    try {
        const descriptor = fs.openSync(file, 'r');
        try {
            fs.readSync(descriptor, header, 0, header.length, 0);
        } finally {
            fs.closeSync(descriptor);
        }
    } catch {
        return null;
    }
    return header;
}

function version() {
    return require('../../package.json').version;
}
