// What the host's bundle does: it is the main module of a process that luster started.
load('host/start');
