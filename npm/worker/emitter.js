// The event emitter behind `require('luster')`, with the trace `NODE_DEBUG=luster:eex` asks for.
//
// Invariant: without that variable it is Node's own emitter, to the last method.

const { EventEmitter } = require('events');

class EventEmitterEx extends EventEmitter {}

if (process.env.NODE_DEBUG) {
    const util = require('util');
    const trace = util.debuglog('luster:eex');
    const brief = value => util.inspect(value, { depth: 1 }).replace(/^\s+/mg, ' ').replace(/\n/g, '');

    if (trace.enabled) {
        EventEmitterEx.prototype.emit = function emit(...args) {
            trace('%s(%s).emit(%s)', this.constructor.name, this.wid, args.map(brief).join(', '));
            return EventEmitter.prototype.emit.apply(this, args);
        };
    }
}

module.exports = EventEmitterEx;
