const http = require('http');
const { prices } = require('luster');

http.createServer((request, response) => {
    const name = request.url.slice(1);
    if (Object.hasOwn(prices, name)) {
        response.end(`${prices[name]}\n`);
    } else {
        response.statusCode = 404;
        response.end('not for sale\n');
    }
}).listen(process.env.port);
