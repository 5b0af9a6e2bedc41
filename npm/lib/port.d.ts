// The types of `require('luster/lib/port')`.

import luster = require('./luster');

declare class Port implements luster.Port {
    static readonly INET: 'inet';
    static readonly UNIX: 'unix';
    readonly value: number | string;
    readonly family: 'inet' | 'unix';
    constructor(value: number | string);
    isEqualTo(port: unknown): boolean;
    next(offset?: number): Port;
    unlink(done: (error?: Error) => void): void;
    unlink(error: Error | null | undefined, done: (error?: Error) => void): void;
    toString(): string;
    valueOf(): number | string;
}

export = Port;
