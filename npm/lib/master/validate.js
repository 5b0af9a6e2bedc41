// Has the binary validate a configuration: the rules of all keys are there, and only there.

const { spawnSync } = require('child_process');
const Configuration = require('../shared/configuration');
const findApp = require('./find_app');
const plain = require('./plain');

/** What the binary may take; it does nothing but compute. In ms. */
const LIMIT = 30000;

/**
 * `{problems: text, exit}` if the configuration is wrong, else `{warnings: […], workers, ports}`. Throws if the binary
 * cannot be asked.
 */
module.exports = function validate(binary, config, basedir, appliedEnv) {
    const input = JSON.stringify({
        ...module.exports.describe(config, basedir),
        baseDir: basedir,
        name: nameOfScript(),
        lusterConf: appliedEnv ? process.env.LUSTER_CONF : undefined,
    });
    const { error, status, stdout, stderr } = spawnSync(binary, ['__validate'], {
        input, encoding: 'utf8', timeout: LIMIT, maxBuffer: Infinity,
    });
    if (error || status !== 0) {
        // Says best what is wrong with it, if that is what is wrong.
        require('./binary').check(binary);
        throw new Error(`luster's native binary ${binary} failed to validate the configuration: ${error ? error.message : stderr.trim()}`);
    }
    return JSON.parse(stdout);
};

/** The same where the script runs again, as a worker. */
module.exports.again = (...configuration) => module.exports(require('./binary').find(), ...configuration);

/** The configuration for the binary: `{value, odd, app}`, the last as this Node finds it, and the workers' will. */
module.exports.describe = function describe(config, basedir) {
    const known = new Configuration(config, basedir);
    return { ...plain(config), app: typeof known.get('app') === 'string' ? findApp(known.resolve('app')) : null };
};

/** What messages call the configuration of a custom master. */
function nameOfScript() {
    return process.argv[1] ? require('path').relative(process.cwd(), process.argv[1]) : 'the configuration';
}
