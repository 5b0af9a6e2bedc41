//! `luster init`: writes a first configuration for the app in the working directory, with comments.
//!
//! Invariants: it asks nothing and overwrites nothing; what it writes passes `luster check --strict`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli;
use crate::config;
use crate::exit::Exit;

/// What is written.
const FILE: &str = "luster.conf.json5";
/// What package.json and an app that is looked into may hold, in bytes.
const LIMIT: u64 = 1 << 20;
/// Where apps are whose package.json does not say.
const USUAL: [&str; 8] = [
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "src/server.js",
    "src/index.js",
    "dist/index.js",
    "dist/server.js",
];

/// Does it.
pub(super) fn run() -> Exit {
    let written = std::env::current_dir()
        .map_err(|error| format!("there is no working directory: {error}"))
        .and_then(|folder| init(&folder));
    match written {
        Ok(told) => cli::print(&told),
        Err(reason) => {
            cli::complain(&format!("luster: {reason}"));
            Exit::Config
        }
    }
}

/// What is printed when it has been written; or why it was not.
fn init(folder: &Path) -> Result<String, String> {
    if let Ok(there) = config::locate(None, folder) {
        let there = there.strip_prefix(folder).unwrap_or(&there).display().to_string();
        return Err(format!("{there} is there already; luster check {there} says whether it is right"));
    }
    let app = find_app(folder)?;
    let text = configuration(&app);
    let path = folder.join(FILE);
    let written = File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    Ok(format!(
        "{FILE} is written, for {} ({}). Now:\n  luster check    says whether it is right\n  luster          runs the workers\n",
        app.path, app.found
    ))
}

/// What is run, and how it was found.
struct MainModule {
    /// As it is written, from the working directory.
    path: String,
    /// What that leads to.
    file: PathBuf,
    found: &'static str,
}

fn find_app(folder: &Path) -> Result<MainModule, String> {
    let package = package(folder)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let main = package.as_ref().and_then(|package| text(&package["main"]));
    let start = package.as_ref().and_then(|package| text(&package["scripts"]["start"]));
    let started = start.as_deref().and_then(started_by_node).map(str::to_owned);
    let said = [(started, "scripts.start in package.json"), (main, "main in package.json")];
    let said =
        said.into_iter().filter_map(|(path, found)| Some((path.filter(|path| !path.is_empty())?, found)));
    let usual = USUAL.iter().map(|path| ((*path).to_owned(), "a usual place"));
    let there =
        |(path, found): (String, _)| Some(MainModule { file: config::find_app(folder, &path)?, path, found });
    said.chain(usual).find_map(there).ok_or_else(|| {
        let package = if package.is_some() { "package.json names none that is there" } else { "there is no package.json" };
        format!(
            "no app is found in {}: {package}, and there is no {}; write the configuration by hand: echo '{{ \"app\": \
             \"FILE.js\" }}' > luster.conf.json",
            folder.display(),
            USUAL.join(", ")
        )
    })
}

fn package(folder: &Path) -> Result<Option<Value>, String> {
    let path = folder.join("package.json");
    let text = match read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).map(Some).map_err(|error| format!("{} is no JSON: {error}", path.display()))
}

fn read(path: &Path) -> io::Result<String> {
    // A pipe would be waited for.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    File::open(path)?.take(LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

/// The file that a command line such as `NODE_ENV=production node --enable-source-maps server.js` runs.
fn started_by_node(line: &str) -> Option<&str> {
    let words = line.split_whitespace();
    let mut behind = words.skip_while(|word| *word != "node" && !word.ends_with("/node")).skip(1);
    behind.find(|word| !word.starts_with('-'))
}

/// Whether the app looks for the port where luster puts it.
fn listens_where_it_is_told(app: &Path) -> bool {
    let text = read(app).unwrap_or_default();
    ["process.env.port", "env['port']", "env[\"port\"]"].iter().any(|name| {
        // `process.env.portal` is another one.
        text.match_indices(name)
            .any(|(at, _)| !text[at + name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

fn configuration(app: &MainModule) -> String {
    let path = Value::from(app.path.as_str());
    let comment = if listens_where_it_is_told(&app.file) { "" } else { "// " };
    format!(
        r"// The configuration of luster. `luster check` says whether it is right, `luster --print-config` what it means.
{{
    // What the workers load. Relative to this file.
    app: {path},

    // How many workers. Default: as many as this process may use CPUs.
    // workers: 4,

    // The port, or the path of a unix socket, that the app finds in process.env.port (in lower case) and listens on. An app
    // that knows its port by itself needs none here.
    {comment}server: {{ port: 8080 }},

    // Times are in milliseconds.
    control: {{
        // In a reload the new worker is ready before the old one stops.
        restart: 'start-first',

        // A worker that is to stop and has not gets SIGTERM after the first, and SIGKILL after the second.
        stopTimeout: 30000,
        killTimeout: 35000,

        // A worker that dies sooner than this after its start, more often in a row than that, is not started any more.
        exitThreshold: 5000,
        allowedSequentialDeaths: 10,
    }},
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_node_runs_is_found_in_command_lines() {
        for (line, file) in [
            ("node server.js", Some("server.js")),
            (
                "NODE_ENV=production /usr/bin/node --enable-source-maps ./src/app.mjs --port 80",
                Some("./src/app.mjs"),
            ),
            ("tsc && node dist/main", Some("dist/main")),
            ("next start", None),
            ("node", None),
            ("node --test", None),
        ] {
            assert_eq!(started_by_node(line), file, "{line}");
        }
    }
}
