// One app's configuration out of one of several apps: `{ apps: { api: {…} }, …common keys }`.
//
// Invariant: it does what `src/config/apps.rs` does: objects are laid over objects key by key, whatever else is replaced.

const Configuration = require('./configuration');
const { isPlainObject } = require('./values');

/** What the app called `name` has, `LUSTER_CONF` applied: its paths are those of the whole, such as `apps.api.workers`. */
exports.pick = function pick(config, name) {
    Configuration.applyEnvironment(config);
    const common = Object.assign({}, config);
    delete common.apps;
    delete common.depends;
    delete common.onDead;
    return overlay(common, config.apps[name]);
};

/** A new object: what is given may be shared by apps, or be in use elsewhere. */
function overlay(below, above) {
    const laid = Object.assign({}, below);
    for (const key of Object.keys(above)) {
        laid[key] = isPlainObject(laid[key]) && isPlainObject(above[key]) ? overlay(laid[key], above[key]) : above[key];
    }
    return laid;
}
