// A configuration in JavaScript that is only an object: luster reads it without starting Node.
module.exports = {
    app: './worker.js',
    workers: 2,

    server: {
        // `*` becomes the group's number: luster-example-0.sock, luster-example-1.sock
        port: '/tmp/luster-example-*.sock',
        groups: 2,
    },
};
