// The types of `require('luster/lib/configuration')`.

import luster = require('../luster');

interface Configuration extends luster.Configuration {}

declare class Configuration {
    constructor(config?: object, basedir?: string);
    getKeys(path?: string): string[];
    /** A Configuration of an object; any other value as it is. */
    static extend<T>(config: T, basedir?: string): T extends object ? Configuration : T;
    /** Applies `LUSTER_CONF` to `config` itself. */
    static applyEnvironment(config: object): void;
    /** Logs what is wrong with the types in a configuration object; how much that is. */
    static check(config: object): number;
}

export = Configuration;
