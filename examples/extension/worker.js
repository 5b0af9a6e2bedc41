const http = require('http');
const luster = require('luster');

http.createServer((request, response) => response.end(`${luster.greeting}\n`)).listen(process.env.port);
