//! The socket in the data directory: HTTP for commands of the same user on the same machine.
//!
//! The mode bits are the lock on the door: only the owner of the file, and root, may connect. They are set after the
//! name is made and before anybody is listened to, so no other user ever gets a connection. What a stopped server left
//! behind is removed by the next one, which holds the lock of the data directory by then.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::listener::{Accept, Answer, Desk, Host};

/// The socket's name in the data directory.
pub(crate) const SOCKET_FILE: &str = "postrider.sock";

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;

/// Why there is no socket. The server runs without it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error("{} is {} bytes long, more than the system takes for a socket", .0.display(), .0.as_os_str().len())]
    TooLong(PathBuf),
    #[error("{} is not a socket; remove it", .0.display())]
    InTheWay(PathBuf),
    #[error("{}: {}", .0.display(), .1)]
    Failed(PathBuf, io::Error),
}

/// The path of the socket of a data directory, unless it is longer than the system takes.
pub(crate) fn path_in(data_dir: &Path) -> Result<PathBuf, SocketError> {
    let path = data_dir.join(SOCKET_FILE);
    match SocketAddr::from_pathname(&path) {
        Ok(_) => Ok(path),
        Err(_) => Err(SocketError::TooLong(path)),
    }
}

/// A bound socket that is not accepting yet. Its file goes when it is dropped.
pub(crate) struct SocketListener {
    listener: UnixListener,
    _file: SocketFile,
}

impl SocketListener {
    /// Makes the socket. The caller holds the lock of the data directory, so a socket that is there is nobody's.
    pub(crate) fn bind(data_dir: &Path) -> Result<Self, SocketError> {
        let path = path_in(data_dir)?;
        let failed = |error| SocketError::Failed(path.clone(), error);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(&path).map_err(failed)?,
            Ok(_) => return Err(SocketError::InTheWay(path)),
            Err(_) => {}
        }
        let socket = UnixSocket::new_stream().map_err(failed)?;
        socket.bind(&path).map_err(failed)?;
        let file = SocketFile::at(&path).map_err(failed)?;
        // Until `listen` the system refuses every connection, whatever the mode.
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
        let listener = socket.listen(BACKLOG).map_err(failed)?;
        Ok(Self { listener, _file: file })
    }
}

impl Accept for SocketListener {
    type Host = SocketHost;

    async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    fn host(&self) -> SocketHost {
        SocketHost
    }
}

/// Serves connections of the socket.
#[derive(Clone)]
pub(crate) struct SocketHost;

impl Host for SocketHost {
    type Raw = UnixStream;

    async fn welcome<S: Answer>(self, stream: UnixStream, desk: Desk<S>) {
        desk.converse_locally(stream).await;
    }
}

/// The name of a socket. Removes it when dropped, unless another server has put its own there by then.
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            // One that stays is removed by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn the_socket_is_private_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = path_in(directory.path()).unwrap();
        let first = SocketListener::bind(directory.path()).unwrap();
        assert_eq!(mode(&path), 0o600);
        // What a killed server left is replaced, and is not removed by whoever left it.
        let second = SocketListener::bind(directory.path()).unwrap();
        drop(first);
        assert_eq!(mode(&path), 0o600);
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(SOCKET_FILE);
        fs::write(&path, "kept").unwrap();
        let error = SocketListener::bind(directory.path()).err().unwrap();
        assert!(matches!(error, SocketError::InTheWay(_)), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"kept");
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("x".repeat(120));
        fs::create_dir(&deep).unwrap();
        let error = SocketListener::bind(&deep).err().unwrap().to_string();
        assert!(error.contains("bytes long") && error.contains("xxx"), "{error}");
    }
}
