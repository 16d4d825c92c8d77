//! A free port for a server without support for port 0.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;

/// A reserved port. No other test in any process takes this port while this value exists. Without the reservation another test could
/// get the port before a slow server listens on the port.
pub struct FreePort {
    number: u16,
    _lock: File,
}

impl FreePort {
    pub fn take() -> Self {
        // Each user has a separate folder, because a user cannot write to the files of another user.
        let user = std::fs::metadata("/proc/self").unwrap().uid();
        let folder = std::env::temp_dir().join(format!("fieldstation-test-ports-{user}"));
        std::fs::create_dir_all(&folder).unwrap();
        for _ in 0..1_000 {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let number = listener.local_addr().unwrap().port();
            let lock = File::create(folder.join(number.to_string())).unwrap();
            if lock.try_lock().is_ok() {
                return Self {
                    number,
                    _lock: lock,
                };
            }
        }
        panic!("no port is free");
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}
