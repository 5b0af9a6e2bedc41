// Makes one tarball with everything luster needs on machines like this one, for `npm install` without a registry:
//
//     node npm/pack/offline.js [BINARY [FOLDER]]
//
// Without BINARY, cargo builds it. The tarball is FOLDER/luster-<version>.tgz; FOLDER is `target/npm` by default.

const { execFileSync } = require('child_process');
const fs = require('fs');
const path = require('path');
const { ROOT, manifest, stageMain, stagePlatform, thisPlatform } = require('./staging');

const [binary = build(), given = path.join(ROOT, 'target', 'npm')] = process.argv.slice(2);
// npm runs elsewhere.
const folder = path.resolve(given);
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
    const told = execFileSync('cargo', ['build', '--release', '--message-format=json-render-diagnostics'], {
        cwd: ROOT, stdio: ['inherit', 'pipe', 'inherit'], encoding: 'utf8', maxBuffer: 64 << 20,
    });
    // Wherever cargo is configured to put it.
    const built = told.split('\n').filter(Boolean).map(line => JSON.parse(line)).find(message =>
        message.executable && message.target.name === 'luster');
    return built.executable;
}
