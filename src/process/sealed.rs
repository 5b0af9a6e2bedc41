//! Bytes that a process is given by a descriptor: no file, so nobody else can read them and nothing is left behind.
//!
//! Invariant: what was put in never changes, whoever holds a descriptor of it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Such bytes.
#[derive(Debug)]
pub struct Sealed {
    memory: OwnedFd,
    size: usize,
}

impl Sealed {
    /// Takes a copy of the bytes; `name` is for those who look at descriptors in `/proc`.
    ///
    /// # Errors
    /// There is no memory, or no descriptor, left for them.
    pub fn new(name: &str, bytes: &[u8]) -> io::Result<Self> {
        let memory = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let mut file = File::from(memory);
        file.write_all(bytes)?;
        let seals =
            SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(Self { memory: file.into(), size: bytes.len() })
    }

    /// How many bytes there are.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The same bytes, for somebody else to hand on.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn again(&self) -> io::Result<Self> {
        Ok(Self { memory: self.share()?, size: self.size })
    }

    /// A descriptor for one more process. All share one position, so whoever reads names his own.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.memory.try_clone()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_is_sealed_is_read_by_all_and_changed_by_none() {
        let sealed = Sealed::new("test", b"{\"a\":1}").unwrap();
        for _ in 0..2 {
            let file = File::from(sealed.share().unwrap());
            let mut bytes = vec![0; sealed.size()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes, b"{\"a\":1}");
            assert!(file.write_at(b"x", 0).is_err());
            assert!(file.set_len(0).is_err());
        }
    }
}
