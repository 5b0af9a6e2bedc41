const http = require('http');
const luster = require('luster');

let state = 'nobody was here';

luster.registerRemoteCommand('total', (master, total, wid) => {
    state = `${total} visits, the last at worker ${wid}`;
});

http.createServer((request, response) => {
    response.end(`worker ${luster.wid} knows of: ${state}\n`);
    luster.remoteCall('visited');
}).listen(process.env.port);
