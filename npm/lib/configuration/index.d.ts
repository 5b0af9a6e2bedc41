// The types of `require('luster/lib/configuration')`.

import luster = require('../luster');

declare class Configuration implements luster.Configuration {
    constructor(config?: object, basedir?: string);
    get<T = any>(path: string): T | undefined;
    get<T>(path: string, defaultValue: T): T;
    has(path: string): boolean;
    getKeys(path?: string): string[];
    resolve(path: string, defaultPath?: string): string;
    getBaseDir(): string;
    /** A Configuration of an object; any other value as it is. */
    static extend<T>(config: T, basedir?: string): T extends object ? Configuration : T;
    /** Applies `LUSTER_CONF` to `config` itself. */
    static applyEnvironment(config: object): void;
    /** Logs what is wrong with the types in a configuration object; how much that is. */
    static check(config: object): number;
}

export = Configuration;
