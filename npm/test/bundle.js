// Prints the worker's script as `src/preload/bundle.rs` builds it, for work on the JavaScript without cargo.
//
// Invariant: same text as the Rust bundle; a Rust test compares them.

const fs = require('fs');
const path = require('path');

const folder = path.join(__dirname, '..', 'worker');
const MODULES = ['errors', 'configuration', 'emitter', 'wire', 'extensions', 'connections', 'drain', 'drain_http1',
    'drain_http2', 'sweep', 'worker', 'worker_wrapper', 'names', 'esm_names', 'config_source', 'main_module', 'exec_argv',
    'acks', 'start'];

const read = name => fs.readFileSync(path.join(folder, `${name}.js`), 'utf8');
const parts = MODULES.map(name => `define('${name}', function (require, module, exports) {\n${read(name)}});\n`);

module.exports = `${read('modules')}\n${parts.join('\n')}\nif (process.env.LUSTER_BOOT) {\n    requireHere('./start');\n} else {\n    process.execArgv = requireHere('./exec_argv')(process.execArgv, __filename);\n}\n`;

if (require.main === module) {
    process.stdout.write(module.exports);
}
