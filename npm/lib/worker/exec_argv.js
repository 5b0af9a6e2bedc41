// Node's flags as the application is to see them, and its children to inherit: without ours.
//
// Invariant: only the preload's name is compared, as its folder may be reached through a symbolic link.

const path = require('path');

const READABLE = '--allow-fs-read=';

/**
 * `args` less the option that loads `preload`, in any of its spellings. Where Node restricts what a process may read, what
 * the preload needs stands before it: from the right to read itself on.
 */
module.exports = function withoutPreload(args, preload) {
    const isPreload = file => path.basename(file) === path.basename(preload);
    const isOption = arg => arg === '-r' || arg === '--require';
    const isRight = arg => arg.startsWith(READABLE);
    const first = args.findIndex(arg => isRight(arg) && isPreload(arg));
    const last = first === -1 ? -1 : args.findIndex((arg, i) => i > first && !isRight(arg));
    return args.filter((arg, i) =>
        !(arg.startsWith('--require=') && isPreload(arg))
        && !(isOption(arg) && i + 1 < args.length && isPreload(args[i + 1]))
        && !(isPreload(arg) && isOption(args[i - 1]))
        && !(i >= first && i < last));
};
