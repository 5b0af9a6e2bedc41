// The server under test: `/` answers at once, `/slow` after 100 ms, with the length of the body it read.

const http = require('http');

http.createServer((req, res) => {
    let length = 0;
    req.on('data', part => { length += part.length; });
    req.on('end', () => {
        const answer = () => res.end(`read ${length} by ${process.pid}`);
        if (req.url === '/slow') {
            setTimeout(answer, 100);
        } else {
            answer();
        }
    });
}).listen(Number(process.env.port));
