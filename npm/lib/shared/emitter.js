// The event emitter behind `require('luster')`, with the trace that `NODE_DEBUG=luster:eex` asks for.
//
// Invariants: without that variable it is Node's own emitter, to the last method; the trace is on stdout and has JS
// luster's form, `Class(wid).emit(arguments)`.

const { EventEmitter } = require('events');

class EventEmitterEx extends EventEmitter {}

if (process.env.NODE_DEBUG && /luster:eex/i.test(process.env.NODE_DEBUG)) {
    const { inspect } = require('util');
    const brief = value => inspect(value, { depth: 1 }).replace(/^\s+/mg, ' ').replace(/\n/g, '');

    EventEmitterEx.prototype.emit = function emit(...args) {
        console.log('%s(%s).emit(%s)', this.constructor.name, this.wid, args.map(brief).join(', '));
        return EventEmitter.prototype.emit.apply(this, args);
    };
}

module.exports = EventEmitterEx;
