// How the supervisor watches and stops a worker: the options of a WorkerWrapper, which may be changed while it runs.
//
// Invariant: whoever changes an option need not tell anybody: `changed` is called.

const Port = require('../shared/port');

const DEFAULTS = {
    persistent: true,
    forkTimeout: undefined,
    stopTimeout: undefined,
    killTimeout: undefined,
    exitThreshold: undefined,
    allowedSequentialDeaths: 0,
    masterInspectPort: undefined,
};

class WorkerWrapperOptions {
    constructor(options, changed) {
        const values = { port: asPort(options.port) };
        for (const name of Object.keys(DEFAULTS)) {
            values[name] = options[name] === undefined ? DEFAULTS[name] : options[name];
        }
        for (const name of Object.keys(values)) {
            Object.defineProperty(this, name, {
                enumerable: true,
                get: () => values[name],
                set(value) {
                    values[name] = name === 'port' ? asPort(value) : value;
                    changed();
                },
            });
        }
    }
}

function asPort(value) {
    return value instanceof Port ? value : new Port(value);
}

module.exports = WorkerWrapperOptions;
