// Makes sure at installation that the native binary runs here, and says what to do if it does not.
//
// Nothing is downloaded or written: luster works without this script (`npm install --ignore-scripts`).

const binary = require('./lib/master/binary');

/** Whether this installs for the machine it runs on: `npm install --cpu=arm64` and such do not. */
function isForThisMachine() {
    const { npm_config_os: os, npm_config_cpu: cpu, npm_config_libc: libc } = process.env;
    return (!os || os === process.platform) && (!cpu || cpu === process.arch) && !libc;
}

if (isForThisMachine()) {
    try {
        binary.check(binary.find());
    } catch (error) {
        if (!(error instanceof binary.BinaryError)) {
            throw error;
        }
        console.error(`luster: ${error.message}`);
        // Where there can be no binary, a project that has luster can still be worked on. npm shows the message only of
        // a script that fails.
        process.exitCode = binary.isSupported ? 1 : 0;
    }
}
