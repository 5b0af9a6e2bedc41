//! Requests to a luster that runs, by its control socket or by the client commands.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take to be done, and be answered.
const PATIENCE: Duration = Duration::from_secs(60);

/// The status code and the JSON of what is answered.
pub(crate) fn ask(socket: &Path, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = format!("{method} {path} HTTP/1.1\r\nHost: luster\r\nConnection: close");
    stream.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let not_http = || io::Error::other(format!("not HTTP: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(not_http)?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(not_http)?;
    Ok((code, serde_json::from_str(body).map_err(|_| not_http())?))
}

/// The exit code of a client command, what it printed on stdout and stderr.
pub(crate) fn command(socket: &Path, words: &[String]) -> io::Result<(i32, String, String)> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_luster"))
        .args(words)
        .arg("--socket")
        .arg(socket)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    let deadline = Instant::now() + PATIENCE;
    let (mut out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let err = std::thread::spawn(move || {
        let mut text = String::new();
        err.read_to_string(&mut text).map(|_| text)
    });
    let out = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!(
                "luster {} did not end within {PATIENCE:?}",
                words.join(" ")
            )));
        }
        std::thread::sleep(Duration::from_millis(5)); // poll
    };
    let read = |thread: std::thread::JoinHandle<io::Result<String>>| thread.join().expect("no panic");
    Ok((status.code().unwrap_or(-1), read(out)?, read(err)?))
}
