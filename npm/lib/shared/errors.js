// The errors `require('luster')` reports: one class per place they come from, each with a stable `code`.
//
// Invariant: codes and messages are those of JS luster, because applications compare them.

class LusterError extends Error {
    constructor(code, data) {
        super(fill(new.target.MESSAGES[code] || String(code), data || {}));
        this.code = code;
    }

    get name() {
        return this.constructor.name;
    }

    static createError(code, data) {
        return new this(code, data);
    }
}

LusterError.MESSAGES = {};

/** `Command "%name%"` with its names replaced; a name without data stays visible. */
function fill(template, data) {
    return template.replace(/%(\S+?)%/g, (whole, name) => (name in data ? String(data[name]) : whole));
}

/** A subclass whose `CODES` are the keys of `messages`. */
function family(name, messages) {
    const Family = { [name]: class extends LusterError {} }[name];
    Family.MESSAGES = messages;
    Family.CODES = Object.fromEntries(Object.keys(messages).map(code => [code, code]));
    return Family;
}

exports.LusterError = LusterError;

exports.LusterWorkerError = family('LusterWorkerError', {
    ALREADY_READY: 'Worker#ready() called when worker is is "ready" state already',
});

exports.LusterConfigurationError = family('LusterConfigurationError', {
    CONFIGURATION_CHECK_FAILED: 'Configuration check failed',
    CAN_NOT_SET_ATOMIC_PROPERTY_FIELD: 'Property "%path%" already exists and is not an object',
});

exports.LusterWorkerWrapperError = family('LusterWorkerWrapperError', {
    INVALID_ATTEMPT_TO_CHANGE_STATE:
        'Invalid attempt to change worker #%wid% (pid: %pid%) state from "%state%" to "%targetState%"',
    REMOTE_COMMAND_CALL_TO_STOPPED_WORKER: 'Remote command call "%command%" to stopped worker #%wid%',
    NOT_STARTED: 'Worker #%wid% could not be started: %reason%',
});

exports.LusterClusterProcessError = family('LusterClusterProcessError', {
    REMOTE_COMMAND_ALREADY_REGISTERED: 'Command "%name%" already registered as allowed for remote calls',
    REMOTE_COMMAND_IS_NOT_REGISTERED: 'Remote command "%name%" is not registered on %klass%',
    EXTENSIONS_LOAD_TIMEOUT: 'Extensions %timeouted% not loaded in %timeout% ms',
    EXTENSION_NOT_FOUND: 'Extension "%name%" is not found; looked in %folders%',
    EXTENSION_FAILED: 'Extension "%name%" failed: %reason%',
});

exports.LusterRPCCallbackError = family('LusterRPCCallbackError', {
    REMOTE_CALL_WITH_CALLBACK_TIMEOUT: 'Remote call failed due to timeout for command "%command%"',
});

exports.LusterPortError = family('LusterPortError', {
    NOT_UNIX_SOCKET: '"%value%" is not a unix socket',
    CAN_NOT_UNLINK_UNIX_SOCKET: 'Can not unlink unix socket "%socketPath%"',
});
