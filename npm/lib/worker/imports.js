// What Node was told to import before the main module (`--import`, `--loader`), imported when we choose.
//
// Invariant: the same specifiers from the same place as Node's own imports, which therefore come later to modules that have
// been evaluated: nothing is evaluated twice.

const path = require('path');
const Module = require('module');

/** Importing anything makes Node start its loaders first. */
const NOTHING = 'data:text/javascript,';

/** Specifiers, in Node's order: the environment's, then the command line's. */
exports.given = function given() {
    const options = [...words(process.env.NODE_OPTIONS || ''), ...process.execArgv];
    const found = valuesOf(options, ['--import']);
    return valuesOf(options, ['--loader', '--experimental-loader']).length > 0 ? [NOTHING, ...found] : found;
};

/** Imports them one after the other, as Node does: relative to the working directory. */
exports.all = async function all(specifiers) {
    if (specifiers.length === 0) {
        return;
    }
    const file = path.join(process.cwd(), 'luster import');
    const place = new Module(file);
    place.filename = file;
    place.paths = Module._nodeModulePaths(process.cwd());
    place._compile('exports.load = specifier => import(specifier)', file);
    for (const specifier of specifiers) {
        await place.exports.load(specifier);
    }
};

/** The values of these options, which stand behind them or behind their `=`. */
function valuesOf(options, names) {
    const found = [];
    options.forEach((option, i) => {
        const name = option.split('=', 1)[0];
        if (names.includes(name)) {
            found.push(option === name ? options[i + 1] : option.slice(name.length + 1));
        }
    });
    return found;
}

/** The words of `NODE_OPTIONS`, which may be quoted. */
function words(options) {
    const quoted = /(?:"(?:\\.|[^"\\])*"|[^\s"])+/g;
    return (options.match(quoted) || []).map(word => word.replace(/\\(.)|"/g, '$1'));
}
