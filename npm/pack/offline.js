// Makes one tarball with everything luster needs on machines like this one, for `npm install` without a registry:
//
//     node npm/pack/offline.js [BINARY [FOLDER]]
//
// Without BINARY, cargo builds it. The tarball is FOLDER/luster-<version>.tgz; FOLDER is `target/npm` by default.

const { execFileSync } = require('child_process');
const fs = require('fs');
const path = require('path');
const { ROOT, manifest, stageMain, stagePlatform, thisPlatform } = require('./staging');

const [binary = build(), folder = path.join(ROOT, 'target', 'npm')] = process.argv.slice(2);
const platform = thisPlatform();
const name = `@luster/${platform}`;
const stage = path.join(folder, 'offline');

stageMain(stage, staged => {
    // The other platforms' packages would be asked for at a registry.
    staged.optionalDependencies = { [name]: manifest.version };
    staged.bundledDependencies = [name];
});
stagePlatform(path.join(stage, 'node_modules', name), platform, binary);
execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder], { cwd: stage, stdio: ['ignore', 'ignore', 'inherit'] });
fs.rmSync(stage, { recursive: true });
console.log(path.join(folder, `luster-${manifest.version}.tgz`));

function build() {
    execFileSync('cargo', ['build', '--release'], { cwd: ROOT, stdio: 'inherit' });
    return path.join(ROOT, 'target', 'release', 'luster');
}
