// The direct channel between a worker and the host: a socket of their own for luster's remote
// calls, so that these do not pass through the supervisor. One JSON value a line, packed if the worker's messages are.
//
// Invariants: it keeps no process alive; an end that is gone is noticed, not an error; nothing is read before `listen`;
// what makes no sense ends the line and nothing else: calls then go by the channel, as before there was a line.

/** How much of a line that is no message a warning shows. */
const SHOWN = 80;

const AS_IT_IS = { pack: message => message, unpack: message => message };

module.exports = class DirectChannel {
    /** Takes a connected `net.Socket`, of which nothing has been read. `isAdvanced` says how the worker speaks. */
    constructor(socket, isAdvanced) {
        this._socket = socket;
        this._form = isAdvanced ? require('./advanced') : AS_IT_IS;
        this._rest = '';
        socket.pause();
        socket.unref();
        socket.setEncoding('utf8');
        // The end comes as 'close', whatever the reason.
        socket.on('error', () => {});
    }

    get isOpen() {
        return this._socket.writable;
    }

    send(message) {
        this._socket.write(`${JSON.stringify(this._form.pack(message))}\n`);
    }

    /** Calls `heard(message)` for each message from now on. */
    listen(heard) {
        this._socket.on('data', text => this._received(text, heard));
        this._socket.resume();
    }

    /** Calls `closed()` when all has been read and there will be no more. */
    onceClosed(closed) {
        this._socket.once('close', closed);
        // Without a reader it would never get to its end.
        this._socket.resume();
    }

    close() {
        this._socket.destroy();
    }

    _received(text, heard) {
        const [first, ...others] = text.split('\n');
        // Only ever added to, never searched again: a long message costs what it is long.
        this._rest += first;
        for (const part of others) {
            const line = this._rest;
            this._rest = part;
            let message;
            try {
                message = this._form.unpack(JSON.parse(line));
            } catch {
                this._giveUp(line);
                return;
            }
            // As Node's own channel does it: what one listener throws costs no other message.
            process.nextTick(heard, message);
        }
    }

    _giveUp(line) {
        this._rest = '';
        this.close();
        const start = JSON.stringify(line.slice(0, SHOWN));
        process.emitWarning(
            `the direct channel for remote calls carries what is no message (${start}), so somebody else writes to its `
                + 'descriptor; it is closed, and remote calls go through luster',
            'LusterWarning',
        );
    }
};
