// The documents of a package: the README, and whatever it links to in this repository, so that no link of the package leads
// nowhere.
//
// Invariant: a link that would be broken in the package breaks the packing.

const fs = require('fs');
const path = require('path');

/** A link in Markdown, to a file: no address, no place in the document itself. */
const LINK = /\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)/g;

/** Copies `README.md` of `root` and what it leads to into `folder`; answers with the names that are there besides it. */
exports.stage = function stage(root, folder) {
    const names = new Set();
    const waiting = ['README.md'];
    const done = new Set();
    while (waiting.length > 0) {
        const document = waiting.pop();
        if (done.has(document)) {
            continue;
        }
        done.add(document);
        const text = fs.readFileSync(path.join(root, document), 'utf8').replace(LINK, (link, to, place = '') => {
            const [target, staged] = places(document, to);
            take(root, target, folder, staged);
            names.add(staged.split('/')[0]);
            if (target.endsWith('.md')) {
                waiting.push(target);
            }
            return `](${path.relative(path.dirname(document), staged)}${place})`;
        });
        write(path.join(folder, document), text);
    }
    return [...names].filter(name => name !== 'README.md');
};

/** Where a link leads in the repository, and where that is in the package, which has no folder `npm`. */
function places(document, to) {
    const target = path.join(path.dirname(document), to).replace(/\/$/, '');
    if (target.startsWith('..')) {
        throw new Error(`${document} links to ${to}, which is outside the repository`);
    }
    return [target, target.replace(/^npm\//, '')];
}

function take(root, target, folder, staged) {
    const from = path.join(root, target);
    if (!fs.existsSync(from)) {
        throw new Error(`a document links to ${target}, and there is no such file`);
    }
    if (!target.endsWith('.md') && !fs.existsSync(path.join(folder, staged))) {
        fs.cpSync(from, path.join(folder, staged), { recursive: true, filter: name => path.basename(name) !== 'node_modules' });
    }
}

function write(file, text) {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
}
