// The configuration as applications and extensions read it: values by dotted path.
//
// Invariant: the object given is copied one level deep and its nested objects are shared, as in JS luster.

const path = require('path');
const { get, has, isPlainObject, remove, set } = require('./values');

class Configuration {
    constructor(config, basedir) {
        this._baseDir = basedir || process.cwd();
        this._values = Object.assign({}, config instanceof Configuration ? config._values : config);
    }

    get(propertyPath, defaultValue) {
        return get(this._values, propertyPath, defaultValue);
    }

    has(propertyPath) {
        return has(this._values, propertyPath);
    }

    getKeys(propertyPath) {
        const value = this.get(propertyPath);
        return isPlainObject(value) ? Object.keys(value) : [];
    }

    resolve(propertyPath, defaultPath) {
        return path.resolve(this._baseDir, this.get(propertyPath, defaultPath));
    }

    getBaseDir() {
        return this._baseDir;
    }

    /** A Configuration of an object, an empty one of null, as in JS luster; any other value as it is. */
    static extend(config, basedir) {
        return config === null || isPlainObject(config) ? new Configuration(config, basedir) : config;
    }

    /** Applies `LUSTER_CONF='path=value; path=value'` to `config` itself. */
    static applyEnvironment(config) {
        const target = config instanceof Configuration ? config._values : config;
        for (const item of splitOutsideQuotes(process.env.LUSTER_CONF || '')) {
            applyItem(target, item);
        }
    }

    /** Logs what is wrong with the types in a configuration object; how much that is. */
    static check(config) {
        return require('./config_check')(config);
    }
}

function* splitOutsideQuotes(text) {
    let start = 0;
    let quoted = false;
    for (let i = 0; i < text.length; i++) {
        if (text[i] === '"') {
            quoted = !quoted;
        } else if (text[i] === ';' && !quoted) {
            yield text.slice(start, i);
            start = i + 1;
        }
    }
    yield text.slice(start);
}

/** One `path=value`. What is no such thing is skipped here: the master has warned of it. */
function applyItem(target, item) {
    const equals = item.indexOf('=');
    const propertyPath = item.slice(0, Math.max(equals, 0)).trim();
    if (propertyPath === '') {
        return;
    }
    const text = item.slice(equals + 1).trim();
    if (text === '') {
        remove(target, propertyPath);
    } else {
        set(target, propertyPath, parsedOrText(text));
    }
}

function parsedOrText(text) {
    try {
        return JSON.parse(text);
    } catch {
        return text;
    }
}

module.exports = Configuration;
