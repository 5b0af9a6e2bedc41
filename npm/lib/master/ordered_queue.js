// The order of what is heard of workers: while the last words of a process are awaited, what came after its end waits too.
//
// Invariant: everything is heard once and in its order, also when a listener throws.

module.exports = class OrderedQueue {
    constructor() {
        this._awaited = 0;
        this._later = [];
    }

    /** Calls `hear` now, or when it is its turn. */
    take(hear) {
        if (this._awaited === 0) {
            hear();
        } else {
            this._later.push(hear);
        }
    }

    /** What is taken from now on waits until the function that is returned has been called. */
    hold() {
        this._awaited++;
        return () => this._release();
    }

    _release() {
        this._awaited--;
        try {
            while (this._awaited === 0 && this._later.length > 0) {
                this._later.shift()();
            }
        } finally {
            // A listener has thrown: what is left comes in a turn of its own.
            if (this._awaited === 0 && this._later.length > 0) {
                setImmediate(this.hold());
            }
        }
    }
};
