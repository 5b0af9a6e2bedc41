// What becomes of a script whose `configure` fails: the error it gets, and, if it does not handle that, the words and the
// exit code that the README has for it in place of Node's stack and 1.
//
// Invariant: who catches the error, or handles uncaught ones, decides; then nothing more is said or done here.

const path = require('path');
const { LusterConfigurationError } = require('../shared/errors');
const { BinaryError } = require('./binary');

/** The exit code, as the README has it. */
const NOT_EXECUTABLE = 71;

/** `{exit, words}` by error. */
const ends = new WeakMap();
let isWatching = false;

/** The error where nobody could validate, which is a `BinaryError`; `isHeard` if it will reach a listener. */
exports.ofUnvalidated = function ofUnvalidated(error, isHeard) {
    if (!(error instanceof BinaryError)) {
        throw error;
    }
    if (isHeard && process.exitCode === undefined) {
        // Nothing can run, whatever the listener makes of it.
        process.exitCode = NOT_EXECUTABLE;
    }
    return exports.unlessCaught(error, NOT_EXECUTABLE, `luster: ${error.message}`);
};

/** The error for a validation that is a refusal. */
exports.of = function of({ problems, exit }) {
    console.error(problems);
    // Workers run the same script: what is refused here must not be taken there.
    process.env.LUSTER_VALIDATE = path.join(__dirname, 'validate.js');
    return exports.unlessCaught(LusterConfigurationError.createError('CONFIGURATION_CHECK_FAILED'), exit);
};

/** Has this process end with `exit` if `error` is not caught, and say `words`, if there are any left to say. */
exports.unlessCaught = function unlessCaught(error, exit, words = '') {
    if (!isWatching) {
        isWatching = true;
        process.on('uncaughtExceptionMonitor', end);
    }
    ends.set(error, { exit, words });
    return error;
};

function end(error) {
    const isHandled = process.listenerCount('uncaughtException') > 0 || process.hasUncaughtExceptionCaptureCallback();
    if (ends.has(error) && !isHandled) {
        const { exit, words } = ends.get(error);
        if (words !== '') {
            console.error(words);
        }
        process.exit(exit);
    }
}
