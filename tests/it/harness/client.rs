//! A small HTTP/1.1 client that reports exactly what happened on the wire, over TCP or a unix socket.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::PATIENCE;

/// Where a server is.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Tcp(u16),
    Tcp6(u16),
    Unix(PathBuf),
    /// The first of these TCP ports that is not refused, as a client does that knows where a server was and where it will be.
    FirstOf(Vec<u16>),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// Whether the server said `Connection: close`.
    pub(crate) closes: bool,
}

trait Stream: Read + Write + Send + fmt::Debug {}
impl<T: Read + Write + Send + fmt::Debug> Stream for T {}

/// A connection on which requests are made one after another.
#[derive(Debug)]
pub(crate) struct Connection(BufReader<Box<dyn Stream>>);

impl Connection {
    pub(crate) fn open(target: &Target) -> io::Result<Self> {
        let stream: Box<dyn Stream> = match target {
            Target::Tcp(port) => Box::new(tcp(("127.0.0.1", *port))?),
            Target::Tcp6(port) => Box::new(tcp(("::1", *port))?),
            Target::FirstOf(ports) => Box::new(first_of(ports)?),
            Target::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
        };
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a request and reads the answer.
    pub(crate) fn request(&mut self, head: &str, body: &[u8]) -> io::Result<Reply> {
        self.send(format!("{head}\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())?;
        self.send(body)?;
        self.reply()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Reads one answer with `Content-Length` or `Transfer-Encoding: chunked`.
    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not HTTP: {status_line:?}")))?;
        let (mut length, mut chunked, mut closes) = (0, false, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':').map(|(name, value)| (name, value.trim())) {
                None => break,
                Some(("content-length", value)) => length = value.parse().map_err(io::Error::other)?,
                Some(("transfer-encoding", value)) => chunked = value == "chunked",
                Some(("connection", value)) => closes = value == "close",
                Some(_) => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
                let start = body.len();
                body.resize(start + size, 0);
                self.0.read_exact(&mut body[start..])?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            body.resize(length, 0);
            self.0.read_exact(&mut body)?;
        }
        Ok(Reply { status, body: String::from_utf8_lossy(&body).into_owned(), closes })
    }

    /// What arrives, as it is.
    pub(crate) fn reader(&mut self) -> &mut impl Read {
        &mut self.0
    }

    /// What arrives, for as long as whoever reads it wants.
    pub(crate) fn into_reader(self) -> impl Read {
        self.0
    }

    /// Whether the server closes the connection without sending anything more.
    pub(crate) fn is_closed_by_peer(&mut self) -> bool {
        let mut byte = [0];
        matches!(self.0.read(&mut byte), Ok(0) | Err(_))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn first_of(ports: &[u16]) -> io::Result<TcpStream> {
    // Between two looks another one may have opened and this one closed: each is looked at twice.
    let mut attempts = ports.iter().chain(ports).map(|port| tcp(("127.0.0.1", *port)));
    let is_refused = |outcome: &io::Result<TcpStream>| {
        outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    let last = || Err(io::Error::other(format!("all of {ports:?} are refused")));
    attempts.find(|outcome| !is_refused(outcome)).unwrap_or_else(last)
}

fn tcp(address: (&str, u16)) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One GET on a connection of its own.
pub(crate) fn get(target: &Target) -> io::Result<Reply> {
    Connection::open(target)?.request("GET / HTTP/1.1\r\nConnection: close", b"")
}
