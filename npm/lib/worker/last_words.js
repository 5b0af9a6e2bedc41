// Tells the supervisor what this process dies of: it inherits stderr, so that is all that others hear of it.
//
// Invariants: nothing else is changed, whoever listens to what; only the error's own message and where it was thrown are
// told, as much as fits; nothing is told of a process that ends well, or whose error somebody has caught long ago.

const { types } = require('util');
const { COMMANDS } = require('../shared/rpc');

/** As much as the supervisor keeps. */
const LONGEST = 2048;
/** How long after an error that the application listens for its process may still end because of it, in ms. */
const AFTERMATH = 10000;
/** A frame of a stack that is in a file. Of an error in a file's syntax the stack begins with the place. */
const FRAME = /^ {4}at (?:.*\()?((?:file:\/)?\/.*:\d+:\d+)\)?$/m;
const HEAD = /^(?:file:\/)?\/.*:\d+$/;

let words = null;
let at = 0;

/** Begins to listen. Called once, before the application is loaded. */
exports.watch = function watch() {
    process.on('uncaughtExceptionMonitor', error => {
        words = wordsOf(error);
        at = Date.now();
    });
    process.on('exit', code => {
        if (code !== 0 && words !== null && Date.now() - at < AFTERMATH) {
            require('./channel').tellSupervisor(COMMANDS.lastWords, words);
        }
    });
};

/** `[what, where]`, as far as the error lets itself be looked at. */
function wordsOf(error) {
    try {
        if (typeof error === 'string') {
            return [error.slice(0, LONGEST)];
        }
        if (!types.isNativeError(error) && !(error instanceof Error)) {
            return [`a thrown ${error === null ? 'null' : typeof error}, which is no Error`];
        }
        const what = `${error.name}: ${error.message}`.slice(0, LONGEST);
        const where = placeOf(String(error.stack)).slice(0, LONGEST);
        return where === '' ? [what] : [what, where];
    } catch {
        return ['an error that cannot be read'];
    }
}

/** Where it was thrown, in whatever is not Node's own. */
function placeOf(stack) {
    const [first] = stack.slice(0, LONGEST).split('\n', 1);
    if (HEAD.test(first)) {
        return first;
    }
    const frames = stack.indexOf('\n    at ') + 1;
    const frame = FRAME.exec(stack.slice(frames, frames + LONGEST * 4));
    return frame === null ? '' : frame[1];
}
