// How workers are started, as code says it through Node: `cluster.settings` (what `setup` sets), `process.env` and
// `process.execArgv`. The supervisor forks by itself, so it is told what has changed.
//
// Invariant: what nobody has changed is not told, so that the supervisor's own settings stand.

const cluster = require('cluster');

const SETTINGS = ['args', 'exec', 'cwd', 'silent', 'stdio', 'uid', 'gid', 'inspectPort'];

module.exports = class Settings {
    constructor() {
        this._execArgv = [...process.execArgv];
        this._env = { ...process.env };
        this._told = '{}';
    }

    /** Takes settings as `cluster.setupPrimary` does. */
    static set(settings) {
        const setup = cluster.setupPrimary || cluster.setupMaster;
        setup.call(cluster, { ...cluster.settings, ...settings });
    }

    /** The settings of now if they differ from those told last, else null. */
    changes() {
        const settings = this._now();
        const text = JSON.stringify(settings);
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
        if (cluster.schedulingPolicy === cluster.SCHED_NONE) {
            settings.balance = 'shared';
        }
        return settings;
    }
};

/** A function (`inspectPort` may be one) cannot be handed over. */
function isPlain(value) {
    return typeof value !== 'function';
}
