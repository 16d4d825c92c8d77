//! A real PgBouncer in front of the PostgreSQL of the tests, in transaction mode: each transaction may come to another connection.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Database;
use super::port::FreePort;
use super::postgres::owner;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running PgBouncer. Dropping this value kills PgBouncer.
pub struct PgBouncer {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
    _port: FreePort,
}

impl PgBouncer {
    /// A pooler with two connections to a database, and further settings, a line each.
    pub fn start(database: &Database, settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = FreePort::take();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let manifest = database.manifest();
        // A quote within is written twice.
        let password = manifest["db_password"]
            .as_str()
            .unwrap()
            .replace('\'', "''");
        let configuration = format!(
            "[databases]\n\
             {name} = host=127.0.0.1 port={upstream} user=postgres password='{password}' pool_size=2\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\nmax_client_conn = 200\n\
             logfile = {log}\nserver_lifetime = 3600\n{settings}\n",
            name = database.name(),
            upstream = database.address().port(),
            port = address.port(),
            log = directory.path().join("log").display(),
        );
        let file = directory.path().join("pgbouncer.ini");
        fs::write(&file, configuration).unwrap();
        File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(program());
        command
            .arg(&file)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // PgBouncer refuses to run as root.
        if let Some((user, group)) = owner() {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
            for path in [directory.path(), &file, &directory.path().join("log")] {
                chown(path, Some(user), Some(group)).unwrap();
            }
            command.uid(user).gid(group);
        }
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("pgbouncer: {error}; install it (Debian: apt-get install pgbouncer), or run ./test.sh, which does")
        });
        let mut pooler = Self {
            child,
            address,
            directory,
            _port: port,
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let log = fs::read_to_string(pooler.directory.path().join("log")).unwrap();
            let ended = pooler.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "PgBouncer does not start: {log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        pooler
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// The path of PgBouncer. On Debian the program is in a directory on the search path of root only.
fn program() -> &'static str {
    match fs::exists("/usr/sbin/pgbouncer") {
        Ok(true) => "/usr/sbin/pgbouncer",
        _ => "pgbouncer",
    }
}
