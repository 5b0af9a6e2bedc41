// How the supervisor watches and stops a worker: the options of a WorkerWrapper, which may be changed while it runs.
//
// Invariant: whoever changes an option need not tell anybody: `changed` is called. What the supervisor says is no change.

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

/** What each object of options holds. */
const held = new WeakMap();

class WorkerWrapperOptions {
    constructor(options, changed) {
        const values = { port: asPort(options.port) };
        held.set(this, values);
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

/** The supervisor says what holds now, and need not be told. */
WorkerWrapperOptions.learn = function learn(options, { port, ...limits }) {
    const values = held.get(options);
    if (String(values.port.value) !== port) {
        values.port = Port.of(port);
    }
    for (const [name, limit] of Object.entries(limits)) {
        // No limit may have been written as 0.
        if ((values[name] || undefined) !== limit) {
            values[name] = limit;
        }
    }
};

function asPort(value) {
    return value instanceof Port ? value : new Port(value);
}

module.exports = WorkerWrapperOptions;
