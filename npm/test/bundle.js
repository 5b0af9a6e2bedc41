// Makes the bundles as `build.rs` does, for work on the JavaScript without cargo: `node npm/test/bundle.js worker`.
//
// Invariant: same text as the Rust build's; a Rust test compares them.

const fs = require('fs');
const path = require('path');

const ROOT = path.join(__dirname, '..');
const FOLDERS = { worker: ['shared', 'worker'], host: ['shared', 'master', 'host'] };

const read = (...parts) => fs.readFileSync(path.join(ROOT, ...parts), 'utf8');

/** The text of the bundle called `name`. */
module.exports = function bundle(name) {
    const parts = FOLDERS[name].flatMap(folder => fs.readdirSync(path.join(ROOT, 'lib', folder))
        .filter(file => file.endsWith('.js'))
        .sort()
        .map(file => `\ndefine('${folder}/${file.slice(0, -'.js'.length)}', function (require, module, exports) {\n`
            + `${read('lib', folder, file)}});\n`));
    return `${read('bundles', 'head.js')}${parts.join('')}\n${read('bundles', `${name}_end.js`)}`;
};

if (require.main === module) {
    process.stdout.write(module.exports(process.argv[2]));
}
