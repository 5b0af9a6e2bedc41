// Messages in V8's own form, for fleets whose `cluster` settings say `serialization: 'advanced'`: what JSON has no word for
// (Map, Set, BigInt, typed arrays, errors, circles) arrives as it was sent.
//
// The channels stay Node's in JSON: a message of the application's travels as one packed value, which the supervisor passes
// on without looking into it, descriptors and all. Of luster's remote calls only the arguments are packed, because the
// supervisor reads some; Node's own messages are not.
//
// Invariant: what is not packed is left as it is, so that both kinds of message may come by one channel.

const { isOnlyCall } = require('./rpc');

const KEY = 'luster_v8';

/** Views of memory are V8's to write, other objects of Node's are written by their own properties, as Node does. */
const VIEW = 1;
const PROPERTIES = 2;

let classes = null;

/** `message` in JSON's words. Throws for what V8 cannot clone either. */
exports.pack = function pack(message) {
    if (isNodes(message)) {
        return message;
    }
    return isOnlyCall(message) ? withArguments(message, packArgument) : packValue(message);
};

exports.unpack = function unpack(message) {
    if (isPacked(message)) {
        return unpackValue(message);
    }
    return isOnlyCall(message) ? withArguments(message, unpack) : message;
};

function withArguments(call, change) {
    return call.args === undefined ? call : { ...call, args: call.args.map(argument => change(argument)) };
}

/** What Node takes for internal; applications' messages of that form get nowhere. */
function isNodes(message) {
    return message !== null && typeof message === 'object' && typeof message.cmd === 'string' && message.cmd.startsWith('NODE_');
}

function isPacked(message) {
    return message !== null && typeof message === 'object' && typeof message[KEY] === 'string';
}

function packArgument(value) {
    return ['string', 'boolean'].includes(typeof value) || Number.isFinite(value) ? value : packValue(value);
}

function packValue(value) {
    const writer = new (forms().Writer)();
    writer.writeHeader();
    writer.writeValue(value);
    return { [KEY]: writer.releaseBuffer().toString('base64') };
}

function unpackValue(packed) {
    const reader = new (forms().Reader)(Buffer.from(packed[KEY], 'base64'));
    reader.readHeader();
    return reader.readValue();
}

/** Made when they are needed first: most fleets never do. */
function forms() {
    if (classes === null) {
        const { DefaultSerializer, DefaultDeserializer } = require('v8');
        classes = {
            Writer: class extends DefaultSerializer {
                _writeHostObject(object) {
                    if (ArrayBuffer.isView(object)) {
                        this.writeUint32(VIEW);
                        super._writeHostObject(object);
                    } else {
                        this.writeUint32(PROPERTIES);
                        this.writeValue({ ...object });
                    }
                }
            },
            Reader: class extends DefaultDeserializer {
                _readHostObject() {
                    return this.readUint32() === VIEW ? super._readHostObject() : this.readValue();
                }
            },
        };
    }
    return classes;
}
