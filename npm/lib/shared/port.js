// What a worker is told to listen on: a TCP port, or the path of a unix socket.

const fs = require('fs');

const INET = 'inet';
const UNIX = 'unix';

module.exports = class Port {
    constructor(value) {
        this.value = value;
    }

    /** What the supervisor tells, as text; a number is one. */
    static of(text) {
        return new Port(isNaN(text) ? text : Number(text));
    }

    get family() {
        return isNaN(this.value) ? UNIX : INET;
    }

    isEqualTo(port) {
        return port instanceof Port && this.value === port.value;
    }

    /** The port `offset` further on. */
    next(offset = 1) {
        return new Port(this.family === UNIX ? this.value.replace('*', String(offset)) : Number(this.value) + offset);
    }

    /** Removes the socket's file; one that is not there is no error. `unlink(error, done)` passes an earlier error on. */
    unlink(...args) {
        const done = args.pop();
        const { LusterPortError } = require('./errors');
        if (args[0]) {
            done(LusterPortError.createError('UNKNOWN_ERROR', args[0]));
        } else if (this.family !== UNIX) {
            done(LusterPortError.createError('NOT_UNIX_SOCKET', { value: this.value }));
        } else {
            fs.unlink(this.value, error => {
                if (error && error.code !== 'ENOENT') {
                    done(LusterPortError.createError('CAN_NOT_UNLINK_UNIX_SOCKET', error).bind({ socketPath: this.value }));
                } else {
                    done();
                }
            });
        }
    }

    toString() {
        return this.value;
    }

    valueOf() {
        return this.value;
    }

    static get INET() {
        return INET;
    }

    static get UNIX() {
        return UNIX;
    }
};
