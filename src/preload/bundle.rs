//! The worker's script: every file of `npm/worker` as one text, put together at compile time.
//!
//! Invariant: the modules are declared, not run; `start` alone runs, and only in a process luster started.

/// Declares one file of `npm/worker` as a module of the script.
macro_rules! module {
    ($name:literal) => {
        concat!(
            "define('",
            $name,
            "', function (require, module, exports) {\n",
            include_str!(concat!("../../npm/worker/", $name, ".js")),
            "});\n"
        )
    };
}

/// What `node -r` loads in every worker.
pub const SCRIPT: &str = concat!(
    include_str!("../../npm/worker/modules.js"),
    "\n",
    module!("errors"),
    "\n",
    module!("configuration"),
    "\n",
    module!("emitter"),
    "\n",
    module!("wire"),
    "\n",
    module!("extensions"),
    "\n",
    module!("connections"),
    "\n",
    module!("drain"),
    "\n",
    module!("drain_http1"),
    "\n",
    module!("drain_http2"),
    "\n",
    module!("sweep"),
    "\n",
    module!("worker"),
    "\n",
    module!("worker_wrapper"),
    "\n",
    module!("names"),
    "\n",
    module!("esm_names"),
    "\n",
    module!("config_source"),
    "\n",
    module!("main_module"),
    "\n",
    module!("exec_argv"),
    "\n",
    module!("acks"),
    "\n",
    module!("start"),
    "\nif (process.env.LUSTER_BOOT) {\n    requireHere('./start');\n} else {\n    process.execArgv = requireHere('./exec_argv')(process.execArgv, __filename);\n}\n",
);
