// One word less for every connection. Node acknowledges each descriptor it receives and then says what became of the
// connection; our master takes the second for both, so the first need not be written, and the master need not wake
// up for it.
//
// Invariants: only acknowledgements of connections the master offers are left out, each of which is followed by its
// verdict at once; a descriptor that did not arrive is still reported. Never under another master than ours: a Node
// primary waits for every acknowledgement. And where this process has just closed its channel, nothing is acknowledged any
// more: Node would fail an assertion of its own, and the process with it.

const ACK = 'NODE_HANDLE_ACK';

exports.leaveOut = function leaveOut() {
    let isOffer = false;
    // First of all listeners, Node's own included, which acknowledges.
    process.prependListener('internalMessage', message => {
        isOffer = Boolean(message.cmd === 'NODE_HANDLE' && message.msg && message.msg.act === 'newconn');
    });

    const send = process._send;
    process._send = function (message, ...rest) {
        if (message && message.cmd === ACK && (isOffer || !process.channel)) {
            isOffer = false;
            return true;
        }
        return send.call(this, message, ...rest);
    };
};
