// The worker of every peer: answers at once, and says on stdout when it listens, and after how many milliseconds.
'use strict';

const http = require('http');

http.createServer((request, response) => response.end('hello\n')).listen(
    // Bare processes that share a port do it by `reusePort` (Node 22.12 and newer); under a master nobody does.
    process.env.REUSE_PORT ? { port: Number(process.env.port), reusePort: true } : { port: Number(process.env.port) },
    () => process.stdout.write(`listening ${process.pid} ${performance.now()}\n`),
);
