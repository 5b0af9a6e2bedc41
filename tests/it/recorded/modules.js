// What code that imports the files of luster sees of them, as an object of plain values. Run with JS luster it made
// `js_luster.json`'s `modules`.

const load = name => require(`luster/lib/${name}`);
const errors = load('errors');
const { LusterConfigurationError: ConfigurationError, LusterError, LusterPortError: PortError } = errors;

const look = error => ({
    code: error.code, message: error.message, data: error.data, text: String(error), full: error.getFullMessage(),
    from: error.originalError && error.originalError.message, stack: error.stack.split('\n')[0],
    isMadeHere: error.stack.split('\n')[1].includes(__filename), isTerror: error._isTerror,
});
const thrown = work => {
    try {
        return { returned: work() };
    } catch (error) {
        return { code: error.code, message: error.message };
    }
};
/** The text without the lines of stacks, which lie elsewhere. */
const withoutPlaces = text => text.split('\n').filter(line => !/^[> ]*at /.test(line));

/** What `log` gives its logger, for an error that came from one that came from something else. */
function logged() {
    const lines = [];
    const Logging = PortError.create('Logging').setLogger(function (text, level) {
        lines.push([withoutPlaces(text), level, this.code]);
    });
    const origin = Object.assign(new Error('origin'), { code: 'EX', originalError: { name: 'First', message: 'cause' } });
    const error = Logging.createError('NOT_UNIX_SOCKET', origin).bind({ value: 1 });
    return { lines, isSame: error.log('warn') === error && error.log() === error };
}

function multiline() {
    const lines = [];
    const error = new LusterError();
    error.logMultilineError('a\nb\n\nc', 'warn', line => lines.push(line));
    error.logMultilineError('a\nb', undefined, line => lines.push(line));
    return lines;
}

function inherited() {
    const Mine = PortError.create('Mine', { OWN: 'mine: %what%' });
    const Theirs = Mine.create('Theirs');
    Mine.extendCodes({ LATER: 'later' });
    const error = Theirs.createError(Theirs.CODES.OWN, { what: [1, 2] });
    return {
        error: look(error), name: error.name, isPortError: error instanceof PortError, isOther: error instanceof ConfigurationError,
        later: [Mine.CODES.LATER, Theirs.CODES.LATER, PortError.CODES.OWN],
        is: [Theirs.is('OWN', error), LusterError.is('OWN', error), ConfigurationError.is('OWN', error), Mine.is('LATER', error)],
        twice: thrown(() => Mine.extendCodes({ OWN: 'again' })).code,
        ensured: Theirs.ensureError(error, 'LATER') === error,
    };
}

function checked() {
    const { log } = console;
    const lines = [];
    console.log = text => lines.push(...withoutPlaces(text));
    const { check } = load('configuration');
    const counts = [
        { app: 'x' }, {}, { app: 'x', server: { port: [] }, extensions: null, workers: null, extensionsPath: /x/ },
    ].map(config => check(config));
    console.log = log;
    return { counts, lines, alone: load('configuration/check')({ app: 'x' }) };
}

function helpers() {
    const { typeOf, get, has, set } = load('configuration/helpers');
    const object = { a: { b: 1 } };
    set(object, 'a.c.d', 2);
    set(object, 'a.b', undefined);
    return {
        types: [1, 'x', null, undefined, [], {}, /x/, new Date(), new Error(), () => {}].map(typeOf),
        values: [get(object, 'a.c'), get(object, 'x.y', 5), get(object) === object, has(object, 'a.b'), has(object, 'a.constructor')],
        refused: thrown(() => set({ a: 1 }, 'a.b', 1)),
    };
}

function calls() {
    const { createCaller, fns, parseMessage } = load('rpc');
    const sent = [];
    const call = createCaller({ send: message => sent.push(message) });
    call('one');
    call('two', 1, [2]);
    return { sent, fns, parsed: [sent[1], { cmd: 'others' }, null, 'text'].map(parseMessage) };
}

function unlinked() {
    const told = [];
    const Port = load('port');
    new Port(80).unlink(error => told.push(look(error).message));
    new Port('/any').unlink(new Error('earlier'), error => told.push(error.code, error.originalError.message));
    return told;
}

module.exports = () => ({
    codes: Object.fromEntries(Object.keys(errors).sort().map(name => [name, errors[name].MESSAGES])),
    plain: look(new LusterError()),
    ownText: look(new LusterError(null, 'about %what%').bind({ what: 'this' })),
    bound: look(PortError.createError(PortError.CODES.NOT_UNIX_SOCKET, { value: '$&', more: 1 })),
    boundTwice: look(PortError.createError('NOT_UNIX_SOCKET', new Error('origin.')).bind({ value: 1 }).bind({ value: 2 })),
    unbound: look(ConfigurationError.createError('PROP_TYPE_CHECK_FAILED', { type: 'x' }).bind({ property: 'p' })),
    ensured: look(ConfigurationError.ensureError(new Error('origin'), 'PROP_REQUIRED')),
    ensuredWithoutCode: look(ConfigurationError.ensureError(new PortError('NOT_UNIX_SOCKET'))),
    json: JSON.parse(JSON.stringify(PortError.createError('NOT_UNIX_SOCKET', { value: 1 }), (key, value) => (key[0] === '_' ? undefined : value))),
    logged: logged(),
    multiline: multiline(),
    inherited: inherited(),
    checked: checked(),
    helpers: helpers(),
    calls: calls(),
    unlinked: unlinked(),
    index: load('configuration/index') === load('configuration'),
});
