// What stands in a Node process for the extensions whose work the luster binary can do itself, where their modules are
// not installed.
//
// Invariant: only what must happen inside the process is done here: marking the console's lines.

const { format } = require('util');

const LEVELS = { log: 'DEBUG', error: 'ERROR', warn: 'WARNING', info: 'INFO' };

/** By name, as the configuration names them. */
const STAND_INS = {
    'luster-log-file': {
        isNative: true,
        configure(config) {
            if (config && config.get && config.get('extendConsole')) {
                markConsole();
            }
        },
    },
    'luster-guard': { isNative: true, configure() {} },
};

exports.find = name => (Object.prototype.hasOwnProperty.call(STAND_INS, name) ? STAND_INS[name] : null);

/** The names among `extensions` that the binary has to do the work of. */
exports.namesIn = extensions => Object.keys(extensions).filter(name => extensions[name] === STAND_INS[name]);

/** Puts the level before each line; a message's further lines get as many `>`. */
function markConsole() {
    for (const method of Object.keys(LEVELS)) {
        const write = console[method];
        const level = LEVELS[method];
        const further = '>'.repeat(level.length);
        console[method] = function (...args) {
            const text = format(...args).replace(/^/mg, (_, offset) => `${offset ? further : level} `);
            return write.call(this, text);
        };
    }
}
