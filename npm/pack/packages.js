// Lays out everything that is published, from cargo's builds:
//
//     node npm/pack/packages.js [linux-x64-gnu …]
//
// Platform packages come from `target/<triple>/release/luster`, for this machine's platform also from `target/release/luster`:
// the newer one. Without names, from all builds there are. The folders are `target/npm/<name>`, for `npm publish`: the
// platforms first.
//
// Invariant: what is there to be published afterwards was laid out now, from binaries of the right kind and version.

const { execFileSync } = require('child_process');
const fs = require('fs');
const path = require('path');
const { machineOf } = require('../lib/master/binary');
const { ROOT, TARGETS, manifest, stageMain, stagePlatform, thisPlatform } = require('./staging');

const wanted = process.argv.slice(2);
const unknown = wanted.filter(platform => !(platform in TARGETS));
if (unknown.length > 0) {
    console.error(`there is no platform ${unknown.join(', ')}, only ${Object.keys(TARGETS).join(', ')}`);
    process.exit(2);
}

const out = path.join(ROOT, 'target', 'npm');
for (const name of [...Object.keys(TARGETS), 'luster']) {
    fs.rmSync(path.join(out, name), { recursive: true, force: true });
}
for (const platform of wanted.length > 0 ? wanted : Object.keys(TARGETS)) {
    const binary = built(platform);
    if (binary !== undefined) {
        check(binary, platform);
        stagePlatform(path.join(out, platform), platform, binary);
        console.log(`target/npm/${platform}: ${path.relative(ROOT, binary)}`);
    } else {
        console.error(`there is no build for ${platform}: cargo build --release --target ${TARGETS[platform]}`);
        process.exitCode = wanted.includes(platform) ? 1 : process.exitCode;
    }
}
stageMain(path.join(out, 'luster'));
console.log('target/npm/luster');

function built(platform) {
    const places = [path.join(ROOT, 'target', TARGETS[platform], 'release', 'luster')];
    if (platform === thisPlatform()) {
        places.push(path.join(ROOT, 'target', 'release', 'luster'));
    }
    const age = place => fs.statSync(place).mtimeMs;
    return places.filter(place => fs.existsSync(place)).sort((one, other) => age(other) - age(one))[0];
}

/** A binary of another version or for another machine would only fail at the user's. */
function check(binary, platform) {
    if (machineOf(binary) !== platform.split('-')[1]) {
        fail(`${binary} is not for ${platform}`);
    }
    if (platform === thisPlatform()) {
        const version = execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim();
        if (version !== `luster ${manifest.version}`) {
            fail(`${binary} is ${version}, and the package is ${manifest.version}`);
        }
    }
}

function fail(message) {
    console.error(message);
    process.exit(1);
}
