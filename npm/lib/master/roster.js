// The workers that the supervisor knows: the master's, and those that were run without having been added to it.
//
// Invariant: the supervisor numbers workers by itself, from 1 on, as they are introduced; so that its numbers are ours,
// whoever has a lower number is introduced before, be it as somebody who is never run.

module.exports = class Roster {
    constructor(master) {
        this._master = master;
        /** Those that run, or have run, without being the master's; by number. */
        this._strays = new Map();
        this._introduced = 0;
    }

    of(wid) {
        return this._master.workers[wid] || this._strays.get(wid);
    }

    all() {
        return [...new Set([...this._master.getWorkersArray(), ...this._strays.values()])];
    }

    /** One that is to run. Whether it was unknown. */
    admit(worker) {
        const isNew = this.of(worker.wid) === undefined;
        if (isNew) {
            this._strays.set(worker.wid, worker);
        }
        return isNew;
    }

    /** What a supervisor is told of all of them when it begins. */
    introduceAll() {
        return this._introduceUpTo(Math.max(...this.all().map(worker => worker.wid)));
    }

    /** The supervisor has begun with this many. */
    areIntroduced(count) {
        this._introduced = count;
    }

    /** The supervisor has one more by itself. */
    learns(wid) {
        this._introduced = Math.max(this._introduced, wid);
    }

    /** The supervisor has this one no more. */
    forget(wid) {
        this._strays.delete(wid);
        if (wid === this._introduced) {
            const others = this.all().map(worker => worker.wid);
            this._introduced = Math.max(0, ...others.filter(other => other < wid));
        }
    }

    /** What it is told when one more comes. */
    introduce(worker) {
        return worker.wid > this._introduced ? this._introduceUpTo(worker.wid) : [about(worker)];
    }

    _introduceUpTo(wid) {
        const introductions = [];
        while (this._introduced < wid) {
            this._introduced++;
            const worker = this.of(this._introduced);
            introductions.push(worker === undefined ? aboutNobody(this._introduced) : about(worker));
        }
        return introductions;
    }
};

module.exports.about = about;

/** What the supervisor has to know of a worker before its first process. */
function about(worker) {
    const { forkTimeout, stopTimeout, killTimeout, exitThreshold, allowedSequentialDeaths } = worker.options;
    return {
        wid: worker.wid,
        port: String(worker.options.port.value),
        limits: {
            forkTimeout,
            stopTimeout,
            killTimeout,
            exitThreshold,
            allowedSequentialDeaths,
            persistent: Boolean(worker.options.persistent) && !worker.dead,
        },
    };
}

/** One that has been made and nothing more; if it is added or run later, the supervisor is told the rest then. */
function aboutNobody(wid) {
    return { wid, port: '0', limits: { persistent: true } };
}
