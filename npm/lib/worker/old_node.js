// Tells the supervisor of a Node that is older than luster supports: it does not look at the Node that workers run, which
// would cost each start the time of starting that once more.

const { COMMANDS } = require('../shared/rpc');

/** The oldest major version that is supported; `engines` in package.json says it, too. */
const OLDEST = 16;

exports.tell = function tell() {
    if (parseInt(process.versions.node, 10) < OLDEST) {
        require('./channel').tellSupervisor(COMMANDS.oldNode, [process.version]);
    }
};
