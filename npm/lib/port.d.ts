// The types of `require('luster/lib/port')`.

import luster = require('./luster');

interface Port extends luster.Port {}

declare class Port {
    static readonly INET: 'inet';
    static readonly UNIX: 'unix';
    constructor(value: number | string);
}

export = Port;
