// The release that a worker runs: the one that links led to when luster read the configuration, whole, wherever they lead
// now. Only where that has been deleted meanwhile, a worker runs what they lead to now, whole as well: better than nothing.
//
// Invariant: configuration, extensions and application are of one release.

const fs = require('fs');
const esmNames = require('./esm_names');
const extensions = require('../shared/extensions');

/** Prepares for the release that was read; false if it is gone, and `boot` is then about the one that there is. */
exports.enter = function enter(boot, mainFile) {
    const needed = boot.format === 'module' ? [boot.config, mainFile] : [mainFile];
    if (boot.given === undefined || needed.every(isThere)) {
        esmNames.installFor(mainFile);
        if (boot.given !== undefined) {
            extensions.lookInPlaceOf(boot.given.extensions, boot.extensionsPath);
        }
        return true;
    }
    boot.config = boot.given.config;
    return false;
};

/** The application of the release that there is. */
exports.given = function given(boot, app) {
    console.error(`luster: the release that this worker is to run is gone; it runs ${app} as it is now`);
    const file = require('./main_module').fileOf(app);
    esmNames.installFor(file);
    return file;
};

/** Whether Node can find it; what this process may not look at is for Node to validate. */
function isThere(file) {
    try {
        fs.statSync(file);
    } catch (error) {
        return error.code !== 'ENOENT' && error.code !== 'ENOTDIR';
    }
    return true;
}
