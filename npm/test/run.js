// Runs every `*.test.js` here on one Node: `node npm/test/run.js [--node /path/to/node] [file part …]`.
//
// Prints one line for each test and `N passed, N failed`; the exit code is 1 if any failed or a file ended early.

const fs = require('fs');
const path = require('path');
const { spawnSync } = require('child_process');

const args = process.argv.slice(2);
const nodeOption = args.indexOf('--node');
const node = nodeOption === -1 ? process.execPath : args.splice(nodeOption, 2)[1];

const files = fs.readdirSync(__dirname)
    .filter(file => file.endsWith('.test.js'))
    .filter(file => args.length === 0 || args.some(part => file.includes(part)));

let passed = 0;
let failed = 0;
for (const file of files) {
    const { stdout, stderr, status } = spawnSync(node, [path.join(__dirname, file)], { encoding: 'utf8' });
    passed += (stdout.match(/^ok /gm) || []).length;
    failed += (stdout.match(/^not ok /gm) || []).length + (status === 0 ? 0 : 1);
    process.stdout.write(stdout.replace(/^(not )?ok /gm, whole => `${whole}${file}: `) + stderr);
}

console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
