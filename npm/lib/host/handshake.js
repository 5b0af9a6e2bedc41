// The words exchanged with luster before there is a link: one answer, one line back, over an inherited socket.
//
// Invariant: both are synchronous, so that nothing a configuration has begun goes on in between; the built-ins used are
// those from before the configuration ran.

const fs = require('fs');

const { readSync, writeSync } = fs;
const { parse, stringify } = JSON;
const { concat, from } = Buffer;

/** Sends the answer: its length in bytes, a line feed, and JSON. One that is too large says only that. */
exports.answer = function answer(socket, sizeLimit, reply) {
    let body = written(reply);
    if (body === null || body.length > sizeLimit) {
        body = from(stringify({ tooLarge: body === null ? Number.MAX_SAFE_INTEGER : body.length }));
    }
    const whole = concat([from(`${body.length}\n`), body]);
    for (let sent = 0; sent < whole.length;) {
        sent += writeSync(socket, whole, sent);
    }
};

/** The answer as JSON; null if it is longer than any string. */
function written(reply) {
    try {
        return from(stringify(reply));
    } catch (error) {
        if (error instanceof RangeError) {
            return null;
        }
        throw error;
    }
}

/** Waits for a line of JSON; `{end: true}` if there will be none. */
exports.hear = function hear(socket) {
    const parts = [];
    const part = Buffer.alloc(65536);
    for (;;) {
        const length = readSync(socket, part, 0, part.length, null);
        if (length === 0) {
            return { end: true };
        }
        parts.push(from(part.subarray(0, length)));
        if (part[length - 1] === 0x0a) {
            return parse(concat(parts).toString());
        }
    }
};
