// The errors `require('luster')` reports: one class per place they come from, each with a stable `code`.
//
// Invariant: what has the code of JS luster has its message too, because applications compare them.

const LusterError = require('./luster_error');

exports.LusterError = LusterError.extendCodes({
    ABSTRACT_METHOD_IS_NOT_IMPLEMENTED: 'Abstract method "%method%" is not implemented in the %klass%',
});

exports.LusterWorkerError = LusterError.create('LusterWorkerError', {
    ALREADY_READY: 'Worker#ready() called when worker is is "ready" state already',
});

exports.LusterConfigurationError = LusterError.create('LusterConfigurationError', {
    CONFIGURATION_CHECK_FAILED: 'Configuration check failed',
    PROP_REQUIRED: 'Required property "%property%" is absent',
    PROP_TYPE_CHECK_FAILED: 'Property "%property%" type is "%type%", but %expected% is expected',
    PROP_REGEXP_CHECK_FAILED: 'Property "%property%" doesn\'t meet the regexp "%regexp%"',
    CAN_NOT_SET_ATOMIC_PROPERTY_FIELD: 'Property "%path%" already exists and is not an object',
});

exports.LusterWorkerWrapperError = LusterError.create('LusterWorkerWrapperError', {
    INVALID_ATTEMPT_TO_CHANGE_STATE:
        'Invalid attempt to change worker #%wid% (pid: %pid%) state from "%state%" to "%targetState%"',
    REMOTE_COMMAND_CALL_TO_STOPPED_WORKER: 'Remote command call "%command%" to stopped worker #%wid%',
    NOT_STARTED: 'Worker #%wid% could not be started: %reason%',
});

exports.LusterClusterProcessError = LusterError.create('LusterClusterProcessError', {
    REMOTE_COMMAND_ALREADY_REGISTERED: 'Command "%name%" already registered as allowed for remote calls',
    REMOTE_COMMAND_IS_NOT_REGISTERED: 'Remote command "%name%" is not registered on %klass%',
    EXTENSIONS_LOAD_TIMEOUT: 'Extensions %timeouted% not loaded in %timeout% ms',
    EXTENSION_NOT_FOUND: 'Extension "%name%" is not found%advice%',
    EXTENSION_FAILED: 'Extension "%name%" failed: %reason%',
});

/** What was asked of luster did not come about; `data` is the whole answer. */
exports.LusterRequestError = LusterError.create('LusterRequestError', {
    ABORTED: 'It has failed and was given up where it stood',
    BUSY: 'Too many requests are under way',
    CONFIGURATION: 'The configuration cannot be used',
    ENDED: '%what% ends, and says no more of it',
    NO_SUPERVISOR: 'Nothing can be asked before the workers are started: call run() first',
    OUT_OF_RANGE: 'The number of workers must be a whole number, not %count%',
    OVERRULED: 'It was overruled by a later request',
    SCRIPT_DECIDES: 'A custom master\'s script decides that',
    STOPPING: 'luster is stopping',
    TAKEN_BACK: 'It has failed and was taken back',
});

exports.LusterRPCCallbackError = LusterError.create('LusterRPCCallbackError', {
    REMOTE_CALL_WITH_CALLBACK_TIMEOUT: 'Remote call failed due to timeout for command "%command%"',
});

exports.LusterPortError = LusterError.create('LusterPortError', {
    NOT_UNIX_SOCKET: '"%value%" is not a unix socket',
    CAN_NOT_UNLINK_UNIX_SOCKET: 'Can not unlink unix socket "%socketPath%"',
});
