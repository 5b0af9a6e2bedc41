// Stands in for the native binary, its child: signals, the terminal, the channel to our parent, the end.
//
// The binary leaves this process's group, so what a terminal sends to the group reaches only this process, which passes
// it on: once. If this process is killed, the kernel kills the binary (`src/process/inherited.rs`).
//
// Invariant: whoever watches this process sees what the binary does: it stops, goes on and ends as that does.

const { spawn } = require('child_process');
const os = require('os');
const { isatty } = require('tty');
const listenFds = require('../master/listen_fds');
const binary = require('../master/binary');
const echo = require('../master/echo');

/** What can be passed on. Not the errors of a process itself, and not what a child tells its parent. */
const PASSED_ON = [
    'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGTERM', 'SIGCONT', 'SIGWINCH', 'SIGPWR',
];

/** Of those the ones that stop luster, where they come from two sides. */
const STOPS = ['SIGINT', 'SIGQUIT', 'SIGTERM'];

const NOT_RUN = 71;

/** The standard descriptors that are a terminal. */
const terminals = [0, 1, 2].filter(isatty);

exports.run = function run(file, args, environment) {
    const env = environment({ standIn: process.pid });
    const channel = process.connected ? ['ipc'] : [];
    const stdio = ['inherit', 'inherit', 'inherit', ...listenFds.inherited(), ...channel];
    const child = spawn(file, args, { argv0: 'luster', env, stdio });
    child.on('error', error => {
        console.error(`luster: ${binary.explain(file, error)}`);
        process.exit(NOT_RUN);
    });
    child.on('exit', end);
    const isEcho = echo.listener();
    for (const signal of PASSED_ON) {
        process.on(signal, () => {
            if (!STOPS.includes(signal) || !isEcho(signal)) {
                child.kill(signal);
            }
        });
    }
    const pause = () => {
        child.kill('SIGTSTP');
        process.removeListener('SIGTSTP', pause);
        // Does nothing where nobody could let it go on: as PID 1, or without a shell that controls jobs.
        process.kill(process.pid, 'SIGTSTP');
        process.on('SIGTSTP', pause);
        child.kill('SIGCONT');
    };
    process.on('SIGTSTP', pause);
    if (process.connected) {
        relay(child);
    }
};

/** Ends as the binary did. */
function end(code, signal) {
    if (!terminals.every(isatty)) {
        // It is gone. Node up to 18 would abort, unable to restore its modes.
        die('SIGHUP');
    } else if (signal !== null) {
        die(signal);
    }
    process.exit(code);
}

/** Dies of a signal. As PID 1, whom the kernel protects from its own, it ends as a shell would tell of that. */
function die(signal) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
    process.exit(128 + os.constants.signals[signal]);
}

/** Makes our parent's channel the binary's. */
function relay(child) {
    const pass = (from, to) => {
        from.on('message', (message, handle) => {
            if (to.connected) {
                // Who is gone by then has no use for it.
                to.send(message, handle, () => {});
            }
        });
        from.on('disconnect', () => to.connected && to.disconnect());
    };
    pass(process, child);
    pass(child, process);
}
