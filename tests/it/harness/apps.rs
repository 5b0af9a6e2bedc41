//! Worker apps that many stories use.

/// Answers `/` at once and `/slow` after 100 ms, with the pid, when the request's body has been read.
pub(crate) const HTTP: &str = r#"
require('http').createServer((req, res) => {
    let length = 0;
    req.on('data', part => { length += part.length; });
    req.on('end', () => setTimeout(
        () => res.end(`${process.pid} read ${length}`),
        req.url === '/slow' ? 100 : 0));
}).listen(Number(process.env.port) || process.env.port);
"#;
