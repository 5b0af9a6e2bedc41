// What the worker's bundle does when Node preloads it. Node runs `-r` scripts again in every worker thread: a thread is
// no worker of ours, and only has our flag taken from what it sees.
if (process.env.LUSTER_BOOT) {
    load('worker/start');
} else {
    process.execArgv = load('worker/exec_argv')(process.execArgv, __filename);
}
