// A small HTTP application with an answer for every kind of test request; `kind` chooses the server.

const { key, cert } = require('./certificate');

const ECHO_LIMIT = 1e6;

/** Answers that are given when `/release` is asked for. */
const held = [];

function answer(req, res) {
    const url = new URL(req.url, 'http://localhost');
    switch (url.pathname) {
    case '/held':
        held.push(res);
        break;
    case '/begun':
        res.write('begin;');
        held.push(res);
        break;
    case '/release':
        held.splice(0).forEach(other => other.end('end'));
        res.end('released');
        break;
    case '/slow':
        setTimeout(() => res.end('slow'), Number(url.searchParams.get('ms')));
        break;
    case '/keep-alive-set':
        res.setHeader('Connection', 'keep-alive');
        res.end('set');
        break;
    case '/keep-alive-written':
        res.writeHead(200, ['Connection', 'keep-alive', 'Content-Length', '7']);
        res.end('written');
        break;
    case '/keep-alive-object':
        res.writeHead(200, 'fine', { connection: 'keep-alive', 'X-Own': '1' });
        res.end('object');
        break;
    case '/early':
        res.statusCode = 413;
        res.end('too much');
        break;
    case '/stream':
        res.write('begin;');
        setTimeout(() => res.end('end'), Number(url.searchParams.get('ms')));
        break;
    case '/large':
        res.end(Buffer.alloc(ECHO_LIMIT, 'x'));
        break;
    case '/body': {
        let length = 0;
        req.on('data', part => { length += part.length; });
        req.on('end', () => res.end(`body ${length}`));
        break;
    }
    default:
        res.end(`hello ${url.pathname}`);
    }
}

function upgrade(req, socket) {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.on('data', data => (String(data) === 'bye' ? socket.end('bye') : socket.write(data)));
}

const MAKE = {
    http: () => require('http').createServer(answer),
    https: () => require('https').createServer({ key, cert }, answer),
    http2: () => require('http2').createServer(answer),
    http2s: () => require('http2').createSecureServer({ key, cert, allowHTTP1: true }, answer),
};

const server = MAKE[process.env.KIND || 'http']();
server.keepAliveTimeout = 60000;
server.on('upgrade', upgrade);
server.listen(Number(process.env.port), process.env.host);

process.on('message', message => {
    if (message === 'close server') {
        server.close(() => process.send('server closed'));
    }
});
