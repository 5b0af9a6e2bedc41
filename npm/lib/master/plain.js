// A configuration as JSON that never fails to be written: what luster reads of it, and what JSON has no word for.
//
// Invariants: circular, too deep and throwing parts are left out, since they can only belong to what extensions read for
// themselves; an extension is there by its name, whatever its options are; the text is valid UTF-8; the built-ins used are those from before the configuration ran, which may replace
// any of them.

const types = require('util').types;

/** Values nested deeper than this are left out. */
const DEPTH_LIMIT = 64;
/** An object met so often belongs to a graph that has no end as a tree. */
const REPETITION_LIMIT = 1000;

const { isFinite } = Number;

/** `{value, odd}`: the JSON value, and by dotted path the JavaScript name of what JSON cannot say. */
module.exports = function plain(config) {
    const copier = new Copier();
    return { value: copier.copy(config, []), odd: copier.odd };
};

/** Halves of surrogate pairs become U+FFFD. */
module.exports.wellFormed = function wellFormed(text) {
    // Where Node can tell, it is much faster: there may be megabytes of it.
    const isFine = typeof text.isWellFormed === 'function' && text.isWellFormed();
    return isFine ? text : text.replace(/\p{Surrogate}/gu, '\ufffd');
};

/** JavaScript's name for a value's type, as luster's messages have it. */
module.exports.typeOf = function typeOf(value) {
    if (value === null) {
        return 'null';
    }
    return Array.isArray(value) ? 'array' : typeof value;
};

class Copier {
    constructor() {
        this.odd = Object.create(null);
        this._seen = new Map();
        this._above = [];
    }

    /** What JSON.stringify would keep of `value`, which stands at the path `at`. */
    copy(value, at) {
        if (types.isDate(value)) {
            this._note(at, 'date');
        }
        if (value !== null && typeof value === 'object' && typeof value.toJSON === 'function') {
            value = value.toJSON(at.length > 0 ? at[at.length - 1] : '');
        }
        if (types.isBoxedPrimitive(value)) {
            value = value.valueOf();
        }
        switch (typeof value) {
        case 'string':
            return module.exports.wellFormed(value);
        case 'number':
            return isFinite(value) ? value : (this._note(at, String(value)), null);
        case 'boolean':
            return value;
        case 'object':
            return value === null ? null : this._copyObject(value, at);
        case 'undefined':
            // A port that nobody has set is told; any other value that is not there is the default.
            return at.join('.') === 'server.port' ? this._note(at, 'undefined') : undefined;
        default:
            return this._note(at, typeof value);
        }
    }

    _copyObject(value, at) {
        const times = (this._seen.get(value) || 0) + 1;
        this._seen.set(value, times);
        if (this._above.includes(value) || this._above.length >= DEPTH_LIMIT || times > REPETITION_LIMIT) {
            return undefined;
        }
        this._above.push(value);
        const copy = Array.isArray(value) ? this._copyItems(value, at) : this._copyMembers(value, at);
        this._above.pop();
        return copy;
    }

    _copyItems(value, at) {
        return Array.from(value, (item, i) => {
            const kept = guarded(() => this.copy(item, [...at, i]));
            return kept === undefined ? null : kept;
        });
    }

    _copyMembers(value, at) {
        if (types.isRegExp(value)) {
            this._note(at, 'regexp');
        } else if (types.isNativeError(value)) {
            this._note(at, 'error');
        }
        // Without a prototype, so that a key named __proto__ is a key.
        const copy = Object.create(null);
        for (const key of Object.keys(value)) {
            const kept = guarded(() => this.copy(value[key], [...at, key]));
            copy[module.exports.wellFormed(key)] = kept === undefined && isExtensions(at) ? this._unsaid([...at, key]) : kept;
        }
        return copy;
    }

    /** What stands for options that cannot be written at all. */
    _unsaid(at) {
        if (!(at.join('.') in this.odd)) {
            this._note(at, 'undefined');
        }
        return null;
    }

    /** Only luster's own keys matter, which are no deeper than this. */
    _note(at, what) {
        if (at.length > 0 && at.length <= 3) {
            this.odd[at.join('.')] = what;
        }
        return undefined;
    }
}

function isExtensions(at) {
    return at.length === 1 && at[0] === 'extensions';
}

function guarded(read) {
    try {
        return read();
    } catch {
        return undefined;
    }
}
