// An ES module as the app, with top-level await before it is ready.
import { readFile } from 'node:fs/promises';
import http from 'node:http';

const greeting = (await readFile(new URL('./greeting.txt', import.meta.url), 'utf8')).trim();

http.createServer((request, response) => {
    response.end(`${greeting} ${process.env.LUSTER_WID} (pid ${process.pid})\n`);
}).listen(Number(process.env.port));
