// The types of `require('luster/lib/errors')`.

declare namespace errors {
    /** What a message's `%name%` are replaced with. */
    type Data = Record<string, unknown>;
    type Code = string | number;

    class LusterError extends Error {
        /** The class's codes, and its parents': `CODES.NAME` is `'NAME'`. */
        static readonly CODES: Readonly<Record<string, string>>;
        static readonly MESSAGES: Readonly<Record<string, string>>;
        static DEFAULT_ERROR_LEVEL: string;

        /** A subclass with these codes and messages, too. */
        static create<Class extends typeof LusterError>(this: Class, name: string, codes?: Record<string, string>): Class;
        static createError<E extends LusterError>(
            this: new (code?: Code | null) => E, code?: Code | null, about?: string | Error | Data | null,
        ): E;
        /** The error itself if it is one of this class, else one of this class that came from it. */
        static ensureError<E extends LusterError>(
            this: new (code?: Code | null) => E, error: unknown, code?: Code | null,
        ): E;
        static is(code: Code, error: unknown): boolean;
        /** Throws if the class has one of the codes. */
        static extendCodes<Class extends typeof LusterError>(this: Class, codes: Record<string, string>): Class;
        /** What `log` calls, for this class and its subclasses. */
        static setLogger<Class extends typeof LusterError>(
            this: Class, logger: (this: LusterError, text: string, level?: string) => void,
        ): Class;

        constructor(code?: Code | null, message?: string | Error);
        readonly code: Code;
        readonly data: Data;
        readonly originalError: Error | undefined;
        /** Adds to `data`, and puts it into the message. */
        bind(data: Data | null | undefined): this;
        setMessage(message: string): this;
        /** Logs the stack, once; to stdout, unless there is another logger. */
        log(level?: string): this;
        logger(text: string, level?: string): void;
        logMultilineError(text: string, level?: string, log?: (text: string) => void): this;
        getFullMessage(): string;
        getFullStack(): string;
    }

    class LusterWorkerError extends LusterError {}
    class LusterConfigurationError extends LusterError {}
    class LusterWorkerWrapperError extends LusterError {}
    class LusterClusterProcessError extends LusterError {}
    /** What was asked of luster by `reload`, `scale` or `status` did not come about; the message says why. */
    class LusterRequestError extends LusterError {
        /** What it came to; undefined if nobody could be asked. */
        readonly outcome?: 'refused' | 'aborted' | 'taken_back' | 'overruled';
    }
    class LusterRPCCallbackError extends LusterError {}
    class LusterPortError extends LusterError {}
}

export = errors;
