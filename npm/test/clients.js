// Clients that make requests of workers and note what becomes of them.

const assert = require('assert');
const http = require('http');
const https = require('https');
const net = require('net');
const tls = require('tls');
const { until } = require('./parent');

const TLS_OPTIONS = { rejectUnauthorized: false };

/** A raw client: what it has received, and whether it has ended. */
class Client {
    constructor(socket) {
        this.socket = socket;
        this.received = '';
        this.ended = false;
        this.error = null;
        socket.on('data', data => { this.received += data.toString('latin1'); });
        socket.on('end', () => { this.ended = true; });
        socket.on('close', () => { this.ended = true; });
        socket.on('error', error => { this.error = error; });
    }

    static async open({ host, port }, secure) {
        const socket = secure ? tls.connect(Object.assign({ host, port }, TLS_OPTIONS)) : net.connect(port, host);
        const client = new Client(socket);
        await new Promise((resolve, reject) => {
            socket.once(secure ? 'secureConnect' : 'connect', resolve);
            socket.once('error', reject);
        });
        return client;
    }

    get(path, ...headers) {
        this.socket.write([`GET ${path} HTTP/1.1`, 'Host: x', ...headers, '', ''].join('\r\n'));
    }

    async has(text) {
        await until(() => `${text} in ${JSON.stringify(this.received)} (${this.error})`, () => this.received.includes(text));
    }

    async end() {
        await until(() => `the end after ${JSON.stringify(this.received)}`, () => this.ended);
        assert.strictEqual(this.error, null);
    }
}

/** `users` clients that send one request after another until told to stop; every failure is kept. */
function load({ host, port }, users, { keepAlive, secure }) {
    const client = secure ? https : http;
    const agent = new client.Agent(Object.assign({ keepAlive, maxSockets: users }, TLS_OPTIONS));
    const result = { answered: 0, failures: [], stopped: false };
    const paths = ['/a', '/slow?ms=5', '/large', '/stream?ms=2', '/keep-alive-set', '/b', '/slow?ms=7', '/stream?ms=4'];
    const once = () => new Promise(resolve => {
        const path = paths[(result.answered + Math.floor(Math.random() * 3)) % paths.length];
        const post = Math.random() < 0.2;
        const options = { port, host, path: post ? '/body' : path, agent, method: post ? 'POST' : 'GET' };
        const request = client.request(options, response => {
            response.on('data', () => {});
            response.on('end', () => { result.answered++; resolve(); });
            response.on('error', error => { result.failures.push(`${path} response ${error.code}`); resolve(); });
        });
        request.on('error', error => { result.failures.push(`${path} ${error.code} reused=${request.reusedSocket}`); resolve(); });
        request.end(post ? Buffer.alloc(20000) : undefined);
    });
    const user = async () => {
        while (!result.stopped) {
            await once();
            // Without a rest they take the cores from the workers that are to be replaced under their load.
            await new Promise(resolve => setTimeout(resolve, 2));
        }
    };
    result.done = Promise.all(Array.from({ length: users }, user)).then(() => agent.destroy());
    return result;
}

module.exports = { Client, TLS_OPTIONS, load };
