//! Puts the JavaScript that luster brings along into one file each for workers and for the extension host, from the
//! modules in `npm/lib`; `src/scripts` includes them.
//!
//! Invariant: the same text as `npm/test/bundle.js` makes for work on the JavaScript without cargo; a test compares them.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

const BUNDLES: [(&str, &[&str]); 2] =
    [("worker", &["shared", "worker"]), ("host", &["shared", "master", "host"])];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=npm/lib");
    println!("cargo::rerun-if-changed=npm/bundles");
    let out = env::var("OUT_DIR")?;
    for (name, folders) in BUNDLES {
        fs::write(Path::new(&out).join(format!("{name}.cjs")), bundle(name, folders)?)?;
    }
    Ok(())
}

fn bundle(name: &str, folders: &[&str]) -> Result<String, Box<dyn Error>> {
    let mut text = fs::read_to_string("npm/bundles/head.js")?;
    for folder in folders {
        for module in modules(folder)? {
            let body = fs::read_to_string(format!("npm/lib/{folder}/{module}.js"))?;
            text += &format!(
                "\ndefine('{folder}/{module}', function (require, module, exports) {{\n{body}}});\n"
            );
        }
    }
    Ok(text + "\n" + &fs::read_to_string(format!("npm/bundles/{name}_end.js"))?)
}

/// The folder's modules in the order of their names, so that a build is the same wherever it is made.
fn modules(folder: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(format!("npm/lib/{folder}"))? {
        let name =
            entry?.file_name().into_string().map_err(|name| format!("{name:?} is no module's name"))?;
        names.extend(name.strip_suffix(".js").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}
