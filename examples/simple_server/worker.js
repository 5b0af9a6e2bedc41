// An ordinary HTTP server. Nothing in it knows about luster; it only reads its port from the environment.
'use strict';

const http = require('http');

http.createServer((request, response) => {
    response.end(`Hello from worker ${process.env.LUSTER_WID} (pid ${process.pid}) on port ${process.env.port}\n`);
}).listen(Number(process.env.port));
