// How this worker's messages are written: as JSON, or in V8's own form where its master's `cluster` settings say so.
//
// Invariant: they are packed when they leave `process.send` and unpacked before anybody hears them, so that all others, the
// application included, know only messages.

/** What Node sends; anything else it refuses by itself. */
const SENDABLE = ['string', 'object', 'number', 'boolean'];

/** Whether messages are in V8's form. */
exports.isAdvanced = false;

exports.useAdvanced = function useAdvanced() {
    const { pack, unpack } = require('../shared/advanced');
    const { send, emit } = process;
    exports.isAdvanced = true;
    process.send = function (message, ...rest) {
        return send.call(this, SENDABLE.includes(typeof message) ? pack(message) : message, ...rest);
    };
    process.emit = function (event, ...args) {
        if (event === 'message') {
            args[0] = unpack(args[0]);
        }
        return emit.call(this, event, ...args);
    };
};
