// What was asked of the supervisor and is answered: each is a promise until then.
//
// Invariants: each promise is settled once, at the latest when nobody is there any more that could answer; one that comes
// to nothing because everything ends does not end this process if nobody handles that.

const { LusterRequestError } = require('../shared/errors');

module.exports = class Requests {
    constructor() {
        this._last = 0;
        this._open = new Map();
    }

    get isOpen() {
        return this._open.size > 0;
    }

    /** Calls `ask` with the number that the answer will have; a promise of the answer. */
    open(ask) {
        const id = ++this._last;
        const request = {};
        request.promise = new Promise((resolve, reject) => Object.assign(request, { resolve, reject }));
        this._open.set(id, request);
        ask(id);
        return request.promise;
    }

    answered(id, answer) {
        const request = this._take(id);
        if (request === undefined) {
            return;
        }
        // How everything stands has none.
        const { outcome = 'done' } = answer;
        if (outcome === 'done') {
            request.resolve(answer);
        } else {
            this._reject(request, errorOf(answer), outcome === 'overruled' || answer.reason === 'stopping');
        }
    }

    /** Nobody answers any more: `what` ends. */
    end(what) {
        for (const id of [...this._open.keys()]) {
            this._reject(this._take(id), LusterRequestError.createError('ENDED', { what }), true);
        }
    }

    _take(id) {
        const request = this._open.get(id);
        this._open.delete(id);
        return request;
    }

    _reject(request, error, isQuiet) {
        if (isQuiet) {
            // Unhandled it would give luster, which stops as it was told to, another exit code.
            request.promise.catch(() => {});
        }
        request.reject(error);
    }
};

function errorOf(answer) {
    const code = (answer.reason || answer.outcome).toUpperCase();
    const error = LusterRequestError.createError(code, answer.message);
    error.outcome = answer.outcome;
    Object.assign(error.data, answer);
    return error;
}
