// How workers are started, as code says it through Node: `cluster.settings` (what `setup` sets), `process.env`,
// `process.execArgv`, and what a script's process hands down (`inheritance.js`). The supervisor forks by itself, so it is
// told what has changed.
//
// Invariant: what nobody has changed is not told, so that the supervisor's own settings stand.

const cluster = require('cluster');
const inheritance = require('./inheritance');

/** As it was before a configuration ran, which may replace it. */
const { stringify } = JSON;

const SETTINGS = ['args', 'exec', 'cwd', 'silent', 'stdio', 'uid', 'gid', 'inspectPort', 'serialization'];

/** What stdio can be; a worker's own number means the same as `inherit`. */
const STREAMS = ['pipe', 'overlapped', 'ignore', 'inherit', 'ipc', null, undefined];

/** What has been told not to be supported. */
const warnings = new Set();

module.exports = class Settings {
    constructor() {
        this._execArgv = [...process.execArgv];
        this._env = { ...process.env };
        this._told = '{}';
        /** What the supervisor has inherited from this process; null if it is not this one's child. */
        this._inherited = null;
    }

    /** The supervisor is about to be started. What of us it inherits now, workers inherit by it. */
    handDown() {
        this._inherited = inheritance.now();
    }

    /** What has changed since this was asked last, as asks of the supervisor. */
    asks(isBalanceConfigured) {
        const asks = [];
        const settings = this.changes(isBalanceConfigured);
        if (settings !== null) {
            asks.push({ ask: 'setup', settings });
        }
        const environment = this.environmentChanges();
        if (environment !== null) {
            asks.push({ ask: 'env', ...environment });
        }
        return asks;
    }

    /** Takes settings as `cluster.setupPrimary` does. */
    static set(settings) {
        if (Array.isArray(settings.stdio) && settings.stdio.some((stream, fd) => !STREAMS.includes(stream) && stream !== fd)) {
            warn('descriptors and streams are not supported in stdio, workers print where luster does; use "pipe" or "ignore"');
        }
        if (typeof settings.inspectPort === 'function') {
            warn('inspectPort cannot be a function, workers get a port of their own as without it');
        }
        const setup = cluster.setupPrimary || cluster.setupMaster;
        setup.call(cluster, { ...cluster.settings, ...settings });
    }

    /** The settings of now if they differ from those told last, else null. What the configuration says wins. */
    changes(isBalanceConfigured) {
        const settings = this._now();
        if (cluster.schedulingPolicy === cluster.SCHED_NONE && !isBalanceConfigured) {
            settings.balance = 'shared';
        }
        const text = stringify(settings);
        if (text === this._told) {
            return null;
        }
        this._told = text;
        return settings;
    }

    /** What has changed in the environment since it was asked last, else null: `{set: {…}, unset: […]}`. */
    environmentChanges() {
        const before = this._env;
        const now = { ...process.env };
        this._env = now;
        const set = Object.keys(now).filter(name => now[name] !== before[name]);
        const unset = Object.keys(before).filter(name => !(name in now));
        return set.length + unset.length === 0 ? null : {
            set: Object.fromEntries(set.map(name => [name, now[name]])),
            unset,
        };
    }

    _now() {
        const settings = {};
        for (const name of SETTINGS) {
            const value = cluster.settings[name];
            if (value !== undefined && isPlain(value)) {
                settings[name] = value;
            }
        }
        const execArgv = cluster.settings.execArgv || process.execArgv;
        if (execArgv.join('\0') !== this._execArgv.join('\0')) {
            settings.execArgv = execArgv;
        }
        return this._inherited === null ? settings : { ...this._changesOfInheritance(), ...settings };
    }

    /** A script that has changed its folder or dropped its rights has done so for its workers, too. */
    _changesOfInheritance() {
        const now = Object.entries(inheritance.now());
        return Object.fromEntries(now.filter(([name, value]) => value !== this._inherited[name]));
    }
};

function warn(what) {
    if (!warnings.has(what)) {
        warnings.add(what);
        console.error(`luster: setup: ${what}`);
    }
}

/** A function (`inspectPort` may be one) cannot be handed over. */
function isPlain(value) {
    return typeof value !== 'function';
}
