// Runs the native binary in this process's place: as this very process where Node can do that (`process.execve`), else as
// a child that this process stands in for.
//
// Invariants: the binary is not started before it has shown that it runs here (a failed `execve` takes Node down without
// a word that helps); it learns how it was started from `LUSTER_LAUNCHER`, because its command line is the user's.

const path = require('path');
const listenFds = require('../master/listen_fds');
const binary = require('../master/binary');

/** There is no binary that runs here; the code of the exit. */
const NO_BINARY = 71;

exports.launch = function launch(args) {
    let file;
    try {
        file = binary.find();
        binary.check(file);
    } catch (error) {
        if (!(error instanceof binary.BinaryError)) {
            throw error;
        }
        console.error(`luster: ${error.message}`);
        process.exit(NO_BINARY);
    }
    // A parent's channel belongs to this process, and so do sockets it was started with: only as a parent of our own can
    // we pass them on.
    const isBare = !process.connected && listenFds.inherited().length === 0;
    if (typeof process.execve === 'function' && isBare) {
        process.execve(file, ['luster', ...args], environment());
    }
    require('./stand_in').run(file, args, environment);
};

/** `more` is what a binary that is stood in for has to know. */
function environment(more) {
    const launcher = {
        node: process.execPath,
        execArgv: process.execArgv,
        program: process.argv[1],
        package: path.join(__dirname, '..', '..'),
        ...more,
    };
    return { ...process.env, LUSTER_LAUNCHER: JSON.stringify(launcher) };
}
