// What every error of luster's can do: a code with its message, data that completes the message, the error it came from,
// and a log of its own. These are the names and forms of `terror`, which applications of JS luster use.
//
// Invariants: each class has `CODES` of its own, among them those its parent had when it was made; an error is logged at
// most once; the first line of the stack is always the message of now.

/** What data is put in place of. */
const PLACE = /%(\S+?)%/g;

class LusterError extends Error {
    /** `message` is a text instead of the code's own, or the error this one came from. */
    constructor(code, message) {
        super();
        const { MESSAGES } = new.target;
        this.code = code === undefined || code === null ? 'UNKNOWN_ERROR' : code;
        this.data = {};
        this.message = typeof message === 'string' ? message : MESSAGES[this.code] || '';
        this.originalError = message instanceof Error ? message : undefined;
        Error.captureStackTrace(this, new.target);
    }

    /** A subclass with these codes besides its parent's: `{CODE: 'message with %data%'}`. */
    static create(name, codes) {
        const Family = { [name]: class extends this {} }[name];
        Family.prototype.name = name;
        Family.CODES = { ...this.CODES };
        Family.MESSAGES = { ...this.MESSAGES };
        return Family.extendCodes(codes || {});
    }

    static extendCodes(codes) {
        for (const code of Object.keys(codes)) {
            if (hasOwn(this.CODES, code)) {
                throw new LusterError(null, '%name% has the code "%code%" already').bind({ name: this.prototype.name, code });
            }
            this.CODES[code] = code;
            this.MESSAGES[code] = codes[code];
        }
        return this;
    }

    /** An error whose message, or the error it came from, or data is `about`. */
    static createError(code, about) {
        const isData = typeof about !== 'string' && !(about instanceof Error);
        const error = isData ? new this(code).bind(about) : new this(code, about);
        Error.captureStackTrace(error, this.createError);
        return error;
    }

    /** The error itself if it is one of this class, else one of this class that came from it. */
    static ensureError(error, code) {
        return error instanceof this ? error : this.createError(code, error);
    }

    static is(code, error) {
        return error instanceof this && error.code === code;
    }

    /** `logger(text, level)` is called by `log`, as a method of the error, here and in the subclasses. */
    static setLogger(logger) {
        this.prototype.logger = logger;
        return this;
    }

    bind(data) {
        Object.assign(this.data, data);
        return this.setMessage(this.message);
    }

    /** A place without data stays visible. */
    setMessage(message) {
        const filled = String(message).replace(PLACE, (place, name) =>
            (hasOwn(this.data, name) ? String(this.data[name]) : place));
        if (filled !== this.message) {
            const { stack } = this;
            const head = String(this);
            this.message = filled;
            this.stack = stack.startsWith(head) ? `${this}${stack.slice(head.length)}` : stack;
        }
        return this;
    }

    log(level) {
        if (!this._isLogged && typeof this.logger === 'function') {
            this.logger(this.getFullStack(), level);
            this._isLogged = true;
        }
        return this;
    }

    logger(text, level) {
        this.logMultilineError(text, level);
    }

    /** The level before the first line, as many `>` before each further one. */
    logMultilineError(text, level, log = line => console.log(line)) {
        const label = String(level || this.constructor.DEFAULT_ERROR_LEVEL).toUpperCase();
        log(`${label} ${text.replace(/\n/g, `\n${'>'.repeat(label.length)} `)}`);
        return this;
    }

    /** The code, and the messages of this error and of those it came from. */
    getFullMessage() {
        const messages = chain(this).map(error => String(error.message || '')).filter(Boolean);
        return [this.code, ...messages.map(message => (message.endsWith('.') ? message : `${message}.`))].join(' ');
    }

    /** The stacks of this error and of those it came from, each further in. */
    getFullStack() {
        return chain(this).map((error, depth) => {
            const indent = '    '.repeat(depth);
            const code = hasOwn(error, 'code') ? `${error.code} ` : '';
            const stack = error.stack
                ? `${String(error.stack).replace(/\n/g, `\n${indent}`)}\n`
                : `${error.name}: ${error.message}`;
            return indent + code + stack;
        }).join('\n');
    }
}

LusterError.CODES = { UNKNOWN_ERROR: 'UNKNOWN_ERROR' };
LusterError.MESSAGES = { UNKNOWN_ERROR: 'Unknown error' };
LusterError.DEFAULT_ERROR_LEVEL = 'ERROR';
LusterError.prototype.name = 'LusterError';
LusterError.prototype._isLogged = false;
// What `Terror.isTerror` asks for.
LusterError.prototype._isTerror = true;

function chain(error) {
    return error ? [error, ...chain(error.originalError)] : [];
}

function hasOwn(object, name) {
    return Object.prototype.hasOwnProperty.call(object, name);
}

module.exports = LusterError;
