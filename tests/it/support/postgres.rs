//! A real PostgreSQL: a shared cluster for all tests of a run, and a database for each test.
//!
//! nextest runs every test in a separate process, and a cluster takes seconds to start. So the first test with PostgreSQL starts the
//! cluster, and a keeper process. The keeper stops the cluster and removes the files after a while without tests. A test holds a shared
//! lock on a file while the test uses the cluster. The lock ends with the process of the test, however the process ends.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::port::FreePort;

const USER: &str = "postgres";
/// A password with all characters that have a meaning in a URL.
const PASSWORD: &str = "p@ss:w/rd%41?#";
const PASSWORD_IN_URL: &str = "p%40ss%3Aw%2Frd%2541%3F%23";
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// Stops the cluster and removes the files after half a minute without a test, and after an hour in any case.
const KEEPER: &str = r#"
directory=$1; users=$2; postmaster=$3
unused=0; checks=0
while [ "$unused" -lt 6 ] && [ "$checks" -lt 720 ] && kill -0 "$postmaster" 2>/dev/null; do
    sleep 5
    checks=$((checks + 1))
    if flock --exclusive --nonblock "$users" true; then unused=$((unused + 1)); else unused=0; fi
done
# Whoever comes now waits until it is gone, and makes another.
exec flock --exclusive --timeout 60 "$users" /bin/sh -c '
    kill -INT "$2" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$2" 2>/dev/null || break; sleep 0.5; done
    kill -QUIT "$2" 2>/dev/null
    rm -rf "$1"
' remover "$directory" "$postmaster"
"#;

/// The running cluster, for as long as this process lives.
struct Cluster {
    port: u16,
    directory: PathBuf,
    /// A file with a shared lock.
    _use: File,
}

/// An empty database. Dropping this value drops the database.
pub struct Database {
    name: String,
}

impl Database {
    /// An empty database.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        sql(
            "postgres",
            &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        );
        sql("postgres", &format!("CREATE DATABASE {name}"));
        Self { name }
    }

    /// Where PostgreSQL listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, cluster().port).into()
    }

    /// The URL for `--todos`, without TLS: TLS is slow in a debug build, and other tests cover TLS.
    pub fn url(&self) -> String {
        self.url_at(&self.address(), "?sslmode=disable")
    }

    /// The URL by way of another address, with parameters (`?sslmode=…`).
    pub fn url_at(&self, address: &dyn fmt::Display, parameters: &str) -> String {
        let address = address.to_string();
        self.url_of(USER, PASSWORD_IN_URL, &address, parameters)
    }

    /// The URL with the host name of the certificate.
    pub fn url_at_localhost(&self, parameters: &str) -> String {
        let address = format!("localhost:{}", cluster().port);
        self.url_at(&address, parameters)
    }

    /// The URL of another user.
    pub fn url_for(&self, user: &str, password: &str) -> String {
        self.url_of(user, password, &self.address().to_string(), "")
    }

    fn url_of(&self, user: &str, password: &str, host: &str, parameters: &str) -> String {
        let name = &self.name;
        format!("postgres://{user}:{password}@{host}/{name}{parameters}")
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The content of `manifest.json`.
    pub fn manifest(&self) -> serde_json::Value {
        serde_json::json!({
            "database_server_host": "127.0.0.1",
            "database_server_port": cluster().port,
            "database": self.name,
            "db_user": USER,
            "db_password": PASSWORD,
        })
    }

    /// The password, which must not be in a log.
    pub fn passwords(&self) -> [&'static str; 2] {
        [PASSWORD, PASSWORD_IN_URL]
    }

    /// Runs statements as the superuser. Returns the rows, a line each.
    pub fn sql(&self, statements: &str) -> String {
        sql(&self.name, statements)
    }

    /// Runs statements about this database in another database.
    pub fn sql_elsewhere(&self, statements: &str) -> String {
        sql("postgres", statements)
    }

    /// The number of connections to this database.
    pub fn connections(&self) -> usize {
        let count = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'",
            self.name
        );
        sql("postgres", &count).trim().parse().unwrap()
    }

    /// The certificate of the authority behind the certificate of the server.
    pub fn certificate_authority(&self) -> PathBuf {
        cluster().directory.join("ca.crt")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        if !std::thread::panicking() {
            sql("postgres", &drop);
        }
    }
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let state = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(state).unwrap();
        let in_use = File::create(state.join("postgres.users")).unwrap();
        // The keeper holds the lock only for an instant, to see whether a test holds the lock.
        in_use.lock_shared().unwrap();
        let turn = File::create(state.join("postgres.lock")).unwrap();
        turn.lock().unwrap();
        let note = state.join("postgres.port");
        let noted = fs::read_to_string(&note).unwrap_or_default();
        let mut words = noted.split_whitespace();
        let port = words.next().and_then(|word| word.parse().ok());
        let directory = words.next().map(PathBuf::from);
        let (port, directory) = match (port, directory) {
            (Some(port), Some(directory)) if listens(port) && directory.join("ca.crt").exists() => {
                (port, directory)
            }
            _ => start(state),
        };
        fs::write(&note, format!("{port} {}", directory.display())).unwrap();
        Cluster {
            port,
            directory,
            _use: in_use,
        }
    })
}

/// Creates and starts the cluster. The caller holds the exclusive lock.
fn start(state: &Path) -> (u16, PathBuf) {
    let directory = tempfile::Builder::new()
        .prefix("fieldstation-postgres-")
        .tempdir()
        .unwrap()
        .keep();
    let owner = owner();
    if let Some((user, group)) = owner {
        chown(&directory, Some(user), Some(group)).unwrap();
    }
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let as_owner = |command: &mut Command| {
        command.current_dir(&directory).env("LC_ALL", "C.UTF-8");
        // PostgreSQL refuses to run as root.
        if let Some((user, group)) = owner {
            command.uid(user).gid(group);
        }
    };
    fs::write(directory.join("password"), PASSWORD).unwrap();
    let mut initdb = Command::new(program("initdb"));
    initdb.args([
        "--pgdata=data",
        "--username=postgres",
        "--pwfile=password",
        // MD5 is cheap, and tests connect often in a debug build. Users with a SCRAM password still use SCRAM.
        "--auth=md5",
        "--encoding=UTF8",
        "--no-sync",
    ]);
    as_owner(&mut initdb);
    done(&mut initdb);
    certify(&directory, &as_owner);
    let mut configuration = File::options()
        .append(true)
        .open(directory.join("data/postgresql.conf"))
        .unwrap();
    // No test crashes the machine, so the cluster needs no flushes.
    configuration
        .write_all(b"fsync = off\nmax_connections = 300\nshared_buffers = 64MB\nssl = on\n")
        .unwrap();

    let reserved = FreePort::take();
    let port = reserved.number();
    let log = File::create(directory.join("log")).unwrap();
    let mut postgres = Command::new(program("postgres"));
    postgres
        .args(["-D", "data", "-h", "127.0.0.1", "-k", "", "-p"])
        .arg(port.to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        // A signal to this test or the terminal must not end the cluster.
        .process_group(0);
    as_owner(&mut postgres);
    let postmaster = postgres.spawn().unwrap().id();
    let mut keeper = Command::new("setsid");
    keeper
        .args(["--fork", "/bin/sh", "-c", KEEPER, "keeper"])
        .arg(&directory)
        .arg(state.join("postgres.users"))
        .arg(postmaster.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = keeper.status();
    assert!(
        started.is_ok_and(|status| status.success()),
        "setsid is missing; install util-linux"
    );
    let deadline = Instant::now() + START_TIME_MAX;
    // The server listens before the server is ready.
    let mut is_ready = Command::new(program("pg_isready"));
    is_ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
    while !is_ready.status().is_ok_and(|status| status.success()) {
        let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
        assert!(
            Instant::now() < deadline,
            "PostgreSQL does not start: {log}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    (port, directory)
}

/// A certificate for `localhost`, signed by a new authority.
fn certify(directory: &Path, as_owner: &dyn Fn(&mut Command)) {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' '));
        as_owner(&mut command);
        done(&mut command);
    };
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt",
    );
    openssl(
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout data/server.key -out server.csr",
    );
    let mut names = File::create(directory.join("names")).unwrap();
    names.write_all(b"subjectAltName=DNS:localhost\n").unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out data/server.crt",
    );
    let key = directory.join("data/server.key");
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The user and the group of PostgreSQL and PgBouncer when the tests run as root. `None` keeps the user of the tests.
pub(super) fn owner() -> Option<(u32, u32)> {
    let own = fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own));
    if own.unwrap() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = users
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .or_else(|| users.lines().find(|line| line.starts_with("nobody:")))
        .expect("PostgreSQL refuses to be root, and there is neither a user postgres nor nobody");
    let mut fields = user.split(':').skip(2).map(|field| field.parse().unwrap());
    Some((fields.next().unwrap(), fields.next().unwrap()))
}

/// The path of a program of PostgreSQL, in the newest installed version.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| {
            let path = version.ok()?.path();
            let number = path.file_name()?.to_str()?.parse().ok()?;
            Some((number, path.join("bin").join(name)))
        })
        .filter(|(_, path)| path.exists())
        .collect();
    found.sort();
    // On other systems the programs are on the path.
    found
        .pop()
        .map_or_else(|| PathBuf::from(name), |(_, path)| path)
}

/// Runs statements and returns the answer.
fn sql(database: &str, statements: &str) -> String {
    let mut psql = Command::new(program("psql"));
    psql.args(["-h", "127.0.0.1", "-U", USER, "-d", database, "-p"])
        .arg(cluster().port.to_string())
        .args(["-XqtA", "-v", "ON_ERROR_STOP=1", "-c", statements])
        .env("PGPASSWORD", PASSWORD)
        .env("PGCONNECT_TIMEOUT", "20");
    let output = done(&mut psql);
    String::from_utf8(output.stdout).unwrap()
}

fn done(command: &mut Command) -> Output {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "{command:?}: {error}; is PostgreSQL missing? Install it with openssl (Debian: apt-get install postgresql \
                 openssl), or run ./test.sh, which does"
            )
        });
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn listens(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}
