// The same server behind a unix socket: nginx or haproxy reach it by its path.
'use strict';

const http = require('http');

http.createServer((request, response) => {
    response.end(`Hello from worker ${process.env.LUSTER_WID} (pid ${process.pid})\n`);
}).listen(process.env.port);
