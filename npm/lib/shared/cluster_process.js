// What a Master and a Worker have in common: the configuration, extensions, and remote commands.
//
// Invariants: a configuration that is refused changes nothing; of those that are not the last one counts, but extensions
// and workers are the first one's, as in JS luster; `configured`, `extension loaded`, `initialized` come in this order, but
// where there is no extension to wait for `initialized` comes within `configured`; a command has one function.

const cluster = require('cluster');
const Configuration = require('./configuration');
const EventEmitterEx = require('./emitter');
const { Answers, COMMANDS, parse } = require('./rpc');

class ClusterProcess extends EventEmitterEx {
    constructor() {
        super();
        this.config = null;
        this.extensions = {};
        this._commands = new Map();
        this._answers = new Answers();
        this._initialized = new Promise(resolve => this.once('initialized', resolve));
        // The first listener, as in JS luster: others hear of it when that is done.
        this.once('configured', () => this._onConfigured());
        this.registerRemoteCommand(COMMANDS.callback, (sender, id, data) => this._answers.arrived(sender, id, data));
    }

    configure(config, applyEnv = true, basedir = process.cwd()) {
        if (applyEnv) {
            Configuration.applyEnvironment(config);
        }
        const refusal = this._refusalOf(config, basedir, applyEnv);
        if (refusal !== null) {
            // Thrown if nobody listens: whoever catches it may try another configuration.
            this.emit('error', refusal);
            return this;
        }
        this.config = Configuration.extend(config, basedir);
        this.setMaxListeners(this.config.get('maxEventListeners', 100));
        cluster.setMaxListeners(this.getMaxListeners());
        this.emit('configured');
        return this;
    }

    /** Loads one more extension, with its part of the configuration; then `callback(error)` is called. */
    loadExtension(name, callback) {
        require('./extensions').loadOne(this, name, callback);
    }

    whenInitialized() {
        return this._initialized;
    }

    /** Allows `fn(sender, …args)` to be called from the other side. */
    registerRemoteCommand(name, fn) {
        if (this._commands.has(name)) {
            throw errors().LusterClusterProcessError.createError('REMOTE_COMMAND_ALREADY_REGISTERED', { name });
        }
        this._commands.set(name, fn);
    }

    /** Allows `fn(answer, data)` to be called from the other side, where `answer(result)` is awaited. */
    registerRemoteCommandWithCallback(name, fn) {
        this.registerRemoteCommand(name, (sender, data, callbackId) => {
            const reply = this._replyTo(sender);
            fn(answer => reply(callbackId, answer), data);
        });
    }

    unregisterRemoteCommand(name) {
        this._commands.delete(name);
    }

    hasRegisteredRemoteCommand(name) {
        return this._commands.has(name);
    }

    /** How what `sender` asks now is answered. */
    _replyTo(sender) {
        return (callbackId, answer) => sender.remoteCall(COMMANDS.callback, callbackId, answer);
    }

    /** The error if the configuration cannot be used, else null. */
    _refusalOf() {
        return null;
    }

    _onConfigured() {
        if (this.config.getKeys('extensions').length === 0) {
            this.emit('initialized');
        } else {
            require('./extensions').load(this, () => this.emit('initialized'));
        }
    }

    /** A message of the other side's; everybody else's are passed over. */
    _onMessage(sender, message) {
        const call = parse(message);
        if (call === null) {
            return;
        }
        const command = this._commands.get(call.name);
        if (command === undefined) {
            this._onUnknownCommand(errors().LusterClusterProcessError.createError('REMOTE_COMMAND_IS_NOT_REGISTERED', {
                name: call.name,
                klass: this.constructor.name,
            }));
        } else {
            command(sender, ...call.args);
        }
    }

    _onUnknownCommand(error) {
        throw error;
    }
}

/** Most processes never need one; they start without. */
function errors() {
    return require('./errors');
}

module.exports = ClusterProcess;
