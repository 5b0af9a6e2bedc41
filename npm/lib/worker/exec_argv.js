// Node's flags as the application is to see them, and its children to inherit: without ours.
//
// Invariant: only the preload's name is compared, as its folder may be reached through a symbolic link.

const path = require('path');

/** `args` less the option that loads `preload`, in any of its spellings. */
module.exports = function withoutPreload(args, preload) {
    const isPreload = file => path.basename(file) === path.basename(preload);
    const isOption = arg => arg === '-r' || arg === '--require';
    return args.filter((arg, i) =>
        !(arg.startsWith('--require=') && isPreload(arg))
        && !(isOption(arg) && i + 1 < args.length && isPreload(args[i + 1]))
        && !(isPreload(arg) && isOption(args[i - 1])));
};
