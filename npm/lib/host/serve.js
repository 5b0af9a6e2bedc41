// The extension host: the Master in a process that luster started.
//
// Invariant: luster is told why this process dies, if it dies of an error; and its end, if nothing keeps it alive and no
// worker is wanted, is luster's end.

const fs = require('fs');
const extensions = require('../shared/extensions');
const links = require('../master/link');
const { inspect } = require('util');

/** Exit codes, as the README has them. */
const NO_SUPERVISOR = 70;
const WRONG_CONFIGURATION = 78;

module.exports = function serve(master, config, about) {
    extensions.lookBeside(about.package);
    // One of a release that is gone runs what links lead to now: better than nothing, as in workers.
    if (about.extensions && fs.existsSync(about.extensions.real)) {
        extensions.lookInPlaceOf(about.extensions.given, about.extensions.real);
    }
    const link = connect(about);
    const lost = how => {
        if (how.error || how.code !== 0) {
            console.error('luster: the extension host cannot reach its supervisor');
            process.exit(NO_SUPERVISOR);
        }
    };
    link.on('end', lost);
    link.hold(true);
    tellLastWords(link);
    // One that does not return can say nothing any more.
    extensions.onTurn(name => link.ask('words', { text: name === null ? '' : `extension "${name}" was running` }));
    require('./signals').install(link);
    master._supervision.serve(link, about.validation, about.replay);
    // From the first it tells on, luster hears what this process might die of.
    link.once('tell', () => {
        link.removeListener('end', lost);
        process.nextTick(configure, master, config, about, link);
    });
};

function connect({ helper, socket }) {
    try {
        return links.connect(helper, socket);
    } catch (error) {
        if (error.code !== 'ERR_ACCESS_DENIED') {
            throw error;
        }
        console.error('luster: Node runs with --permission, and extensions on the master\'s side need --allow-child-process '
            + `besides, because a program of luster's (${helper}) makes their channel; add that to Node's flags`);
        return process.exit(WRONG_CONFIGURATION);
    }
}

function configure(master, config, { app, baseDir }, link) {
    try {
        // What is picked out of several apps has the environment applied.
        master.configure(config, app === undefined, baseDir).run();
    } catch (error) {
        if (error.code !== 'EXTENSION_NOT_FOUND') {
            throw error;
        }
        // Its message says all there is to say.
        link.ask('words', { text: error.message });
        process.exit(WRONG_CONFIGURATION);
    }
}

/** An uncaught error is Node's to print; luster is told what it is about. */
function tellLastWords(link) {
    let words = null;
    process.on('uncaughtExceptionMonitor', error => {
        words = wordsOf(error);
    });
    process.on('exit', code => {
        if (code !== 0 && words !== null) {
            link.ask('words', { text: words });
        }
    });
}

function wordsOf(error) {
    const name = (error && error.extension) || extensions.current();
    const text = error instanceof Error ? `${error.name}: ${error.message}` : inspect(error);
    return name && !(error && error.isAboutExtensions) ? `extension "${name}": ${text}` : text;
}
