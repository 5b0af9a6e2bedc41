// What is published to npm, laid out below one folder: the package `luster`, and a package with the native binary for
// each platform.
//
// Invariant: a staged folder holds nothing of an earlier staging.

const fs = require('fs');
const path = require('path');
const { PACKAGES } = require('../lib/master/binary');
const documents = require('./documents');

const NPM = path.join(__dirname, '..');
const ROOT = path.join(NPM, '..');
const manifest = JSON.parse(fs.readFileSync(path.join(NPM, 'package.json'), 'utf8'));

exports.ROOT = ROOT;
exports.manifest = manifest;

/** The triple that cargo has for each platform package. */
const TARGETS = {
    'linux-x64-gnu': 'x86_64-unknown-linux-gnu',
    'linux-x64-musl': 'x86_64-unknown-linux-musl',
    'linux-arm64-gnu': 'aarch64-unknown-linux-gnu',
    'linux-arm64-musl': 'aarch64-unknown-linux-musl',
};

exports.TARGETS = TARGETS;

/** The platform of the machine this runs on. */
exports.thisPlatform = function thisPlatform() {
    const packages = PACKAGES[`${process.platform}-${process.arch}`];
    if (packages === undefined) {
        throw new Error(`luster has no native binary for ${process.platform}-${process.arch}`);
    }
    // Only a Node built for glibc knows its version.
    const libc = process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl';
    return packages[libc].split('/')[1];
};

/** Lays out the package `luster` in `folder`; `change` may change its manifest. */
exports.stageMain = function stageMain(folder, change = () => {}) {
    renew(folder);
    for (const name of manifest.files) {
        fs.cpSync(path.join(NPM, name), path.join(folder, name), { recursive: true });
    }
    const staged = { ...manifest, files: [...manifest.files, ...documents.stage(ROOT, folder)] };
    change(staged);
    writeRest(folder, staged);
};

/** Lays out the package of `platform` in `folder`, with this binary. */
exports.stagePlatform = function stagePlatform(folder, platform, binary) {
    const [os, cpu, libc] = platform.split('-');
    renew(folder);
    fs.mkdirSync(path.join(folder, 'bin'));
    fs.copyFileSync(binary, path.join(folder, 'bin', 'luster'));
    fs.chmodSync(path.join(folder, 'bin', 'luster'), 0o755);
    writeRest(folder, {
        name: `@luster/${platform}`,
        version: manifest.version,
        description: `The native binary of luster for ${os} on ${cpu} with ${libc === 'gnu' ? 'glibc' : 'musl'}`,
        license: manifest.license,
        os: [os],
        cpu: [cpu],
        libc: [libc === 'gnu' ? 'glibc' : 'musl'],
        files: ['bin'],
        // Plug'n'Play would keep it in an archive, where nothing can be executed.
        preferUnplugged: true,
    });
    fs.writeFileSync(path.join(folder, 'README.md'), `# @luster/${platform}

The native binary of [luster](https://www.npmjs.com/package/luster) for ${os} on ${cpu} with ${libc === 'gnu' ? 'glibc' : 'musl'}.
It comes with \`npm install luster\`; there is nothing in it to use by itself.
`);
};

function renew(folder) {
    fs.rmSync(folder, { recursive: true, force: true });
    fs.mkdirSync(folder, { recursive: true });
}

function writeRest(folder, packageManifest) {
    fs.writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(packageManifest, null, 2)}\n`);
    fs.copyFileSync(path.join(ROOT, 'LICENSE'), path.join(folder, 'LICENSE'));
}
