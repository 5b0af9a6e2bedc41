// Workers that are replaced one by one while clients make requests.

const assert = require('assert');
const { load } = require('./clients');
const { serving, test, until } = require('./parent');

const CYCLES = Number(process.env.LUSTER_CYCLES || 2);

/** A test: every request of such clients is answered. */
module.exports = function noRequestFails({ name, keepAlive, secure }) {
    test(`no request fails over ${CYCLES} replacements: ${name}`, async () => {
        const options = { app: 'http.js', env: { KIND: secure ? 'https' : 'http', host: '127.0.0.1' } };
        const instances = [await serving(options), await serving(options)];
        const generator = load(instances[0], 12, { keepAlive, secure });
        const answers = more => {
            const goal = generator.answered + more;
            return until('answers', () => generator.answered >= goal);
        };
        for (let i = 0; i < CYCLES; i++) {
            await answers(100);
            instances.push(await serving(options));
            assert.strictEqual(await instances.shift().stop(), 0);
        }
        await answers(100);
        generator.stopped = true;
        await generator.done;
        console.log(`# ${name}: ${generator.answered} answered, ${generator.failures.length} failed`);
        assert.deepStrictEqual(generator.failures, []);
    });
};
