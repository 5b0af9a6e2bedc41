// Signals that the configuration or extensions listen to: luster gets them, and passes on those it is told of.

const { signals } = require('os').constants;

const isSignal = name => typeof name === 'string' && Object.prototype.hasOwnProperty.call(signals, name);

/** Tells luster now, and whenever it changes. */
exports.passOn = function passOn(link) {
    let told = '';
    const tell = () => {
        const names = process.eventNames().filter(isSignal).sort();
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
};
