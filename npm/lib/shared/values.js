// Values by dotted path, in objects of any depth. What JS luster has as `luster/lib/configuration/helpers`.
//
// Invariant: only a value's own properties are seen and made, so `constructor` finds nothing and `__proto__` is a name
// like any other.

const types = require('util').types;

/** `typeof`, which tells arrays, regular expressions, dates and errors from objects. */
exports.typeOf = function typeOf(value) {
    if (Array.isArray(value)) {
        return 'array';
    }
    if (types.isRegExp(value)) {
        return 'regexp';
    }
    if (types.isDate(value)) {
        return 'date';
    }
    return types.isNativeError(value) ? 'error' : typeof value;
};

exports.isPlainObject = function isPlainObject(value) {
    return value !== null && exports.typeOf(value) === 'object';
};

exports.get = function get(root, propertyPath, defaultValue) {
    const found = lookUp(root, propertyPath);
    return found ? found.value : defaultValue;
};

exports.has = function has(root, propertyPath) {
    return lookUp(root, propertyPath) !== null;
};

exports.set = function set(root, propertyPath, value) {
    const { holder, name } = placeOf(root, propertyPath);
    // It may be a getter, or not writable.
    delete holder[name];
    define(holder, name, value);
};

exports.remove = function remove(root, propertyPath) {
    const { holder, name } = placeOf(root, propertyPath);
    delete holder[name];
};

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

/** The object that has, or is to have, what the path names; made on the way where absent. */
function placeOf(root, propertyPath) {
    const names = propertyPath.split('.');
    const name = names.pop();
    let holder = root;
    for (const step of names) {
        if (!hasOwn(holder, step) || holder[step] === undefined) {
            define(holder, step, {});
        } else if (!exports.isPlainObject(holder[step])) {
            throw require('./errors').LusterConfigurationError.createError('CAN_NOT_SET_ATOMIC_PROPERTY_FIELD', { path: names.join('.') });
        }
        holder = holder[step];
    }
    return { holder, name };
}

/** Plain assignment, except that `__proto__` is a name like any other. */
function define(holder, name, value) {
    Object.defineProperty(holder, name, { value, writable: true, enumerable: true, configurable: true });
}

function hasOwn(object, name) {
    return Object.prototype.hasOwnProperty.call(object, name);
}
