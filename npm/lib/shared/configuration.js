// The configuration as applications and extensions read it: values by dotted path.
//
// Invariant: only a value's own properties are seen, so `get('constructor')` finds nothing. The object given is
// copied one level deep and its nested objects are shared, as in JS luster.

const path = require('path');
const types = require('util').types;

class Configuration {
    constructor(config, basedir) {
        this._baseDir = basedir || process.cwd();
        this._values = Object.assign({}, config instanceof Configuration ? config._values : config);
    }

    get(propertyPath, defaultValue) {
        const found = lookUp(this._values, propertyPath);
        return found ? found.value : defaultValue;
    }

    has(propertyPath) {
        return lookUp(this._values, propertyPath) !== null;
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

    /** A Configuration of an object; any other value as it is. */
    static extend(config, basedir) {
        return isPlainObject(config) ? new Configuration(config, basedir) : config;
    }

    /** Applies `LUSTER_CONF='path=value; path=value'` to `config` itself. */
    static applyEnvironment(config) {
        const target = config instanceof Configuration ? config._values : config;
        for (const item of splitOutsideQuotes(process.env.LUSTER_CONF || '')) {
            applyItem(target, item);
        }
    }
}

function isPlainObject(value) {
    return typeof value === 'object' && value !== null && !Array.isArray(value)
        && !types.isRegExp(value) && !types.isDate(value) && !types.isNativeError(value);
}

function hasOwn(object, name) {
    return Object.prototype.hasOwnProperty.call(object, name);
}

/** `{value}` where the path leads, or null: a found `undefined` is not the same as nothing found. */
function lookUp(root, propertyPath) {
    let value = root;
    for (const name of propertyPath ? propertyPath.split('.') : []) {
        if (value === undefined || value === null || !hasOwn(value, name)) {
            return null;
        }
        value = value[name];
    }
    return { value };
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
    const names = propertyPath.split('.');
    const last = names.pop();
    const holder = holderOf(target, names);
    const text = item.slice(equals + 1).trim();
    delete holder[last];
    if (text !== '') {
        define(holder, last, parsedOrText(text));
    }
}

/** The object at the end of `names`, made on the way where absent. */
function holderOf(target, names) {
    let holder = target;
    for (const name of names) {
        if (!hasOwn(holder, name) || holder[name] === undefined) {
            define(holder, name, {});
        } else if (!isPlainObject(holder[name])) {
            throw require('./errors').LusterConfigurationError.createError('CAN_NOT_SET_ATOMIC_PROPERTY_FIELD', { path: names.join('.') });
        }
        holder = holder[name];
    }
    return holder;
}

/** Plain assignment, except that `__proto__` is a name like any other. */
function define(holder, name, value) {
    Object.defineProperty(holder, name, { value, writable: true, enumerable: true, configurable: true });
}

function parsedOrText(text) {
    try {
        return JSON.parse(text);
    } catch {
        return text;
    }
}

module.exports = Configuration;
