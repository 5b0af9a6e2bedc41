// Lays out everything that is published, from cargo's builds:
//
//     node npm/pack/packages.js [linux-x64-gnu …]
//
// Platform packages come from `target/<triple>/release/luster`, or for this machine's platform from `target/release/luster`
// if there is no build for its triple; without names, from all builds there are. The folders are `target/npm/<name>`, for
// `npm publish`: the platforms first.

const fs = require('fs');
const path = require('path');
const { ROOT, TARGETS, stageMain, stagePlatform, thisPlatform } = require('./staging');

const wanted = process.argv.slice(2);
const unknown = wanted.filter(platform => !(platform in TARGETS));
if (unknown.length > 0) {
    console.error(`there is no platform ${unknown.join(', ')}, only ${Object.keys(TARGETS).join(', ')}`);
    process.exit(2);
}

const out = path.join(ROOT, 'target', 'npm');
for (const platform of wanted.length > 0 ? wanted : Object.keys(TARGETS)) {
    const binary = built(platform);
    if (binary !== undefined) {
        stagePlatform(path.join(out, platform), platform, binary);
        console.log(`target/npm/${platform}: ${path.relative(ROOT, binary)}`);
    } else if (wanted.includes(platform)) {
        console.error(`there is no build for ${platform}: cargo build --release --target ${TARGETS[platform]}`);
        process.exit(1);
    }
}
stageMain(path.join(out, 'luster'));
console.log('target/npm/luster');

function built(platform) {
    const places = [path.join(ROOT, 'target', TARGETS[platform], 'release', 'luster')];
    if (platform === thisPlatform()) {
        places.push(path.join(ROOT, 'target', 'release', 'luster'));
    }
    return places.find(place => fs.existsSync(place));
}
