// One process in a worker's slot, as this process shows it: Node's `cluster.Worker`, its `ChildProcess`, and the direct
// line to it.
//
// Invariants: everything carries the instance's number, so late news is harmless; `cluster.workers` and the events on
// `cluster` are those code that uses Node's cluster directly would see.

const cluster = require('cluster');
const DirectChannel = require('../shared/direct_channel');
const { message: command } = require('../shared/rpc');
require('./node_cluster');
const WorkerProcess = require('./worker_process');

const OPEN_HERE = 'core.master.directChannelOpen';
const OPEN_THERE = 'core.worker.directChannelOpen';
/** How long the end of a line may take after that of its process, in ms. */
const LINE_LIMIT = 500;

let hasForked = false;

class WorkerInstance {
    constructor(link, { wid, instance, ...about }) {
        this.wid = wid;
        this.id = instance;
        this._link = link;
        this._direct = null;
        this._isAdvanced = about.advanced === true;
        if (this._isAdvanced) {
            link.usesAdvanced(instance);
        }
        this.process = new WorkerProcess(link, instance, about);
        this.worker = clusterWorker(instance, this.process);
        cluster.workers[instance] = this.worker;
        this.worker.on('message', (message, socket) => cluster.emit('message', this.worker, message, socket));
    }

    /** Calls a command in the worker. */
    call(name, args) {
        if (this._direct !== null && this._direct.isOpen) {
            this._link.tellChangesBefore();
            this._direct.send(command(name, args));
        } else {
            this._link.sendTo(this.id, command(name, args));
        }
    }

    heard(message, socket) {
        if (message && message.cmd === `luster_${OPEN_HERE}`) {
            this._listen();
        } else {
            this.process.emit('message', message, socket);
        }
    }

    /** A line was made to it. From here on calls go by the line; what comes by it is read when the worker says so. */
    adoptDirectChannel(socket) {
        this._link.sendTo(this.id, command(OPEN_THERE, []));
        this._direct = new DirectChannel(socket, this._isAdvanced);
    }

    forked() {
        // Node says so at each fork; for the first one, those who have filled in its defaults have had it do so.
        if (hasForked) {
            cluster.emit('setup', cluster.settings);
        }
        hasForked = true;
        cluster.emit('fork', this.worker);
    }

    online() {
        this.worker.state = 'online';
        this.worker.emit('online');
        cluster.emit('online', this.worker);
    }

    listening(address) {
        this.worker.state = 'listening';
        this.worker.emit('listening', address);
        cluster.emit('listening', this.worker, address);
    }

    left(isVoluntary) {
        this.worker.exitedAfterDisconnect = isVoluntary;
        this.worker.state = 'disconnected';
        this.process.left();
        this.worker.emit('disconnect');
        cluster.emit('disconnect', this.worker);
    }

    /** Its process is gone. What it said last comes before that: the end of its line is waited for. Then calls `told`. */
    ended(code, signal, told) {
        const end = () => {
            try {
                this._ended(code, signal);
            } finally {
                told();
            }
        };
        const line = this._direct;
        if (line === null || !line.isOpen) {
            end();
            return;
        }
        let isOver = false;
        const over = () => {
            if (!isOver) {
                isOver = true;
                clearTimeout(limit);
                end();
            }
        };
        // It is closed with the process, unless a child of its own has got hold of it.
        const limit = setTimeout(over, LINE_LIMIT);
        line.onceClosed(over);
    }

    _ended(code, signal) {
        delete cluster.workers[this.id];
        this._link.forget(this.id);
        this.worker.exitedAfterDisconnect = Boolean(this.worker.exitedAfterDisconnect);
        this.worker.state = 'dead';
        this.process.left();
        this.process.ended(code, signal);
        this.worker.emit('exit', code, signal);
        cluster.emit('exit', this.worker, code, signal);
    }

    _listen() {
        if (this._direct !== null) {
            this._direct.listen(message => this.process.emit('message', message, undefined));
        }
    }
}

/** Node's own class, with the methods that would go to Node's own primary directed to the supervisor. */
function clusterWorker(id, process) {
    const worker = new cluster.Worker({ id, process, state: 'none' });
    worker.disconnect = () => {
        process.disconnect();
        return worker;
    };
    worker.kill = worker.destroy = signal => process.kill(signal);
    return worker;
}

module.exports = WorkerInstance;
