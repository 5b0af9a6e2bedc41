//! Other people's programs that stories run beside luster: nginx, haproxy, logrotate, authbind and the like.
//!
//! The one that is installed is used. Where there is none it is taken from Debian's (or its children's) packages once,
//! and unpacked below `target/`: that needs no rights, and leaves the machine as it is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// A program that is there.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) path: PathBuf,
    /// The libraries that came with it, where it is not installed.
    libraries: OsString,
}

impl Tool {
    /// Runs it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if !self.libraries.is_empty() {
            command.env("LD_LIBRARY_PATH", &self.libraries);
        }
        command
    }
}

/// This program of this Debian package.
pub(crate) fn tool(program: &str, package: &str) -> Tool {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&on_path).chain(administrators).map(|folder| folder.join(program));
    if let Some(path) = found.into_iter().find(|path| path.is_file()) {
        return Tool { path, libraries: OsString::new() };
    }
    let root = unpacked(package).unwrap_or_else(|why| {
        panic!(
            "{program} is not installed, and cannot be unpacked below target/ ({why}); install it: apt-get install {package}"
        )
    });
    let below = |folders: &[&str]| folders.iter().map(|folder| root.join(folder)).collect::<Vec<_>>();
    let programs = below(&["usr/sbin", "usr/bin", "sbin", "bin"]);
    let path = programs.iter().map(|folder| folder.join(program)).find(|path| path.is_file());
    let path = path.unwrap_or_else(|| panic!("the package {package} has no {program}"));
    let is_library = |path: &PathBuf| path.to_string_lossy().ends_with("-linux-gnu");
    let of = below(&["usr/lib", "lib"]).into_iter().filter_map(|folder| std::fs::read_dir(folder).ok());
    let libraries = of.flatten().filter_map(|entry| Some(entry.ok()?.path())).filter(is_library);
    let libraries = libraries.flat_map(|folder| [folder.join("systemd"), folder]);
    Tool { path, libraries: std::env::join_paths(libraries).expect("no colon") }
}

/// The folder with this package's files, and those of the packages it needs that are not installed.
fn unpacked(package: &str) -> Result<PathBuf, String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian");
    let folder = all.join(package);
    let (root, done) = (folder.join("root"), folder.join("done"));
    if !done.exists() {
        std::fs::create_dir_all(&root).map_err(|error| error.to_string())?;
        let lists = all.join("lists");
        let names = needed(package, None).or_else(|_| {
            std::fs::create_dir_all(lists.join("partial")).map_err(|error| error.to_string())?;
            apt(&folder, Some(&lists), &["update"])?;
            needed(package, Some(&lists))
        })?;
        let mut download = vec!["download"];
        download.extend(names.iter().map(String::as_str));
        apt(&folder, lists.exists().then_some(&*lists), &download)?;
        let archives = std::fs::read_dir(&folder).map_err(|error| error.to_string())?;
        for archive in archives.filter_map(|entry| Some(entry.ok()?.path())) {
            if archive.extension().is_some_and(|extension| extension == "deb") {
                run(Command::new("dpkg").arg("-x").arg(&archive).arg(&root))?;
                std::fs::remove_file(archive).map_err(|error| error.to_string())?;
            }
        }
        std::fs::write(done, "").map_err(|error| error.to_string())?;
    }
    Ok(root)
}

/// The packages to unpack.
fn needed(package: &str, lists: Option<&Path>) -> Result<Vec<String>, String> {
    let simulated = ["install", "--simulate", "--no-install-recommends", package];
    let told = apt(Path::new("/"), lists, &simulated)?;
    let name = |line: &str| Some(line.strip_prefix("Inst ")?.split(' ').next()?.to_owned());
    Ok(told.lines().filter_map(name).collect())
}

fn apt(folder: &Path, lists: Option<&Path>, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new("apt-get");
    if let Some(lists) = lists {
        command.arg("-o").arg(format!("Dir::State::Lists={}", lists.display()));
    }
    run(command.args(words).current_dir(folder).env("LC_ALL", "C"))
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(told.lines().last().unwrap_or("it failed without a word").to_owned())
}
