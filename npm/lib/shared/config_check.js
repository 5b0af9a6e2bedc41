// What JS luster's `Configuration.check` says of a configuration, for code that calls it.
//
// Invariant: luster itself never asks here. Whether a configuration can be used is the binary's judgement, which knows
// every key.

const { LusterConfigurationError } = require('./errors');
const { get, typeOf } = require('./values');

const TYPES = {
    'app': ['string'],
    'workers': ['number'],
    'control.forkTimeout': ['number'],
    'control.stopTimeout': ['number'],
    'control.killTimeout': ['number'],
    'control.exitThreshold': ['number'],
    'control.allowedSequentialDeaths': ['number'],
    'server.port': ['number', 'string'],
    'server.groups': ['number'],
    'server.portsPerGroup': ['number'],
    'extensions': ['object'],
    'extensionsPath': ['string'],
    'extensionsLoadTimeout': ['number'],
};

const REQUIRED = ['app'];

/** Logs each problem; how many there are. */
module.exports = function check(config) {
    const problems = Object.keys(TYPES)
        .map(property => problemOf(property, typeOf(get(config, property))))
        .filter(problem => problem !== null);
    problems.forEach(problem => problem.log());
    return problems.length;
};

function problemOf(property, type) {
    if (type === 'undefined') {
        return REQUIRED.includes(property) ? LusterConfigurationError.createError('PROP_REQUIRED', { property }) : null;
    }
    return TYPES[property].includes(type) ? null : LusterConfigurationError.createError('PROP_TYPE_CHECK_FAILED', {
        property, type, expected: TYPES[property].join(' or '),
    });
}
