// Replacing workers that share a listening socket, under load: one test after another.

const noRequestFails = require('./replacements');

noRequestFails({ name: 'http, keep-alive', keepAlive: true });
noRequestFails({ name: 'http, one request per connection', keepAlive: false });
noRequestFails({ name: 'https, keep-alive', keepAlive: true, secure: true });
