// What a script's process hands down to those it starts, besides its environment: the folder and the rights. Workers get
// them from the supervisor, which got them from the script when it was started; what changes later it has to be told.
//
// Invariant: whoever changes them, by Node's functions, has told before these return: a worker that dies an hour later is
// started again at once, and must not have the rights that its script has dropped.

const CHANGES = ['chdir', 'setuid', 'setgid', 'seteuid', 'setegid'];

/** By the names of Node's settings. */
exports.now = function now() {
    // The effective rights: who has dropped no more than these, trusts its workers with no more.
    return { cwd: folder(), uid: process.geteuid(), gid: process.getegid() };
};

/** Has `tell` called when something of it has been changed, and before the script ends a process by its number. */
exports.watch = function watch(tell) {
    for (const name of CHANGES) {
        const change = process[name];
        process[name] = function changed(...args) {
            const result = change.apply(process, args);
            tell();
            return result;
        };
    }
    const { kill } = process;
    process.kill = function killed(...args) {
        // It may be a worker's, whose successor is to have what has been changed until now.
        tell();
        return kill.apply(process, args);
    };
};

function folder() {
    try {
        return process.cwd();
    } catch {
        // It is not there any more.
        return undefined;
    }
}
