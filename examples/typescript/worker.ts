// Node 22.18, 24 and later strip the types: nothing is compiled.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import luster from 'luster';

interface Visit {
    path: string;
    count: number;
}

const visits = new Map<string, Visit>();

function count(path: string): Visit {
    const visit = visits.get(path) ?? { path, count: 0 };
    visit.count++;
    visits.set(path, visit);
    return visit;
}

createServer((request: IncomingMessage, response: ServerResponse) => {
    const visit = count(request.url ?? '/');
    response.end(`${visit.path} was asked of worker ${luster.wid} ${visit.count} times\n`);
}).listen(process.env.port);
