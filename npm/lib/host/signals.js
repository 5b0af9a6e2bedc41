// Signals in the extension host. Those that the configuration or extensions listen to luster gets, and passes on if it is
// told of them. One sent to this process itself (an extension may write its pid to a file) means what it means to luster.
//
// Invariant: luster is not told of signals that only this file listens to.

const { signals } = require('os').constants;
const listeners = require('../master/listeners');

const isSignal = name => typeof name === 'string' && Object.prototype.hasOwnProperty.call(signals, name);

const stop = link => link.ask('stop');

/** What is done besides whatever others do, as in JS luster; and what is done only if nobody else handles it. */
const ALWAYS = { SIGINT: stop, SIGQUIT: stop };
const ALONE = { SIGTERM: stop, SIGHUP: link => link.ask('rollout', { hold: true }) };
const OURS = { ...ALWAYS, ...ALONE };

const othersListen = name => listeners.othersListen(name, OURS[name] === undefined ? 0 : 1);

/** Does what signals ask for, and tells luster of others' now and whenever they change. */
exports.install = function install(link) {
    for (const [name, act] of Object.entries(OURS)) {
        process.on(name, () => {
            if (ALONE[name] === undefined || !othersListen(name)) {
                act(link);
            }
        });
    }
    passOn(link);
};

function passOn(link) {
    let told = '';
    const tell = () => {
        const names = process.eventNames().filter(name => isSignal(name) && othersListen(name)).sort();
        if (names.join() !== told) {
            told = names.join();
            link.ask('signals', { names });
        }
    };
    for (const change of ['newListener', 'removeListener']) {
        // Before it is added, so it is looked at when that is done.
        process.on(change, name => isSignal(name) && process.nextTick(tell));
    }
    tell();
}
