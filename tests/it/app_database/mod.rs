//! `station.db` and the folder of files beside the database: every write keeps the checksums, and a test notices every damage.

mod damage;
mod files;
mod rows;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fieldstation::error::{StoreError, StoreErrorKind};
use fieldstation::files::folder::FolderStore;
use fieldstation::files::{
    Condition, ContentType, DeviceId, Digest, FileInfo, FileName, FileStore, NewFile,
};
use fieldstation::greeting::sqlite::SqliteGreeting;
use fieldstation::greeting::{GreetingStore, Word};
use fieldstation::storage::app_database::AppDatabase;
use fieldstation::storage::data_directory::DataDirectory;
use fieldstation::timestamp::Timestamp;
use fieldstation::todos::import::{ImportBatch, ImportItem, NumberedTodo};
use fieldstation::todos::{
    self, Description, Filter, Status, Title, Todo, TodoId, TodoStore, folded,
};
use fieldstation::verify::{Report, verify};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use sha2::{Digest as _, Sha256};

/// The stores of a data directory.
struct Stores {
    todos: Arc<dyn TodoStore>,
    files: FolderStore,
    greeting: SqliteGreeting,
    app_database: Arc<AppDatabase>,
}

impl Stores {
    async fn open(data: &Path) -> Result<Self, StoreError> {
        let directory = Arc::new(DataDirectory::open(data)?);
        let app_database = AppDatabase::open(Arc::clone(&directory))?;
        let url = "sqlite:".parse().unwrap();
        Ok(Self {
            todos: todos::open(Some(&url), data, || Ok(Arc::clone(&app_database))).await?,
            files: FolderStore::open(directory, Arc::clone(&app_database))?,
            greeting: SqliteGreeting::new(Arc::clone(&app_database)),
            app_database,
        })
    }

    async fn send(&self, device: &str, bytes: &[u8]) {
        let mut upload = self
            .files
            .begin(&DeviceId::new(device).unwrap())
            .await
            .unwrap();
        upload
            .write(vec![Bytes::copy_from_slice(bytes)])
            .await
            .unwrap();
        let file = NewFile {
            size_bytes: bytes.len() as u64,
            content_type: ContentType::new("text/plain").unwrap(),
            name: FileName::new("a file.txt"),
            digest: Digest(Sha256::digest(bytes).into()),
            time: Timestamp::now(),
        };
        upload.finish(file, Condition::default()).await.unwrap();
    }

    async fn close(self) {
        self.app_database.close().await;
    }
}

fn todo(title: &str, description: &str, deadline: Option<i64>, status: Status) -> Todo {
    let now = Timestamp::now();
    Todo {
        id: TodoId::generate(now).unwrap(),
        title: Title::new(title).unwrap(),
        description: Description::new(description).unwrap(),
        deadline: deadline.map(|micros| Timestamp::from_micros(micros).unwrap()),
        status,
        created_at: now,
        updated_at: now,
    }
}

fn arrivals(items: Vec<(Option<i64>, Todo)>) -> ImportBatch {
    let items = items
        .into_iter()
        .map(|(number, todo)| ImportItem { number, todo });
    ImportBatch {
        origin: "elsewhere".to_owned(),
        has_timestamps: true,
        items: items.collect(),
    }
}

/// All possible answers to a client.
#[derive(Debug, PartialEq)]
struct Seen {
    lists: Vec<Vec<Todo>>,
    each: Vec<(Option<Todo>, Option<i64>, Option<TodoId>)>,
    numbered: Vec<NumberedTodo>,
    found: Vec<NumberedTodo>,
    count: u64,
    files: Vec<Option<FileInfo>>,
    devices: Vec<DeviceId>,
    word: Word,
}

/// The ids in the requests of the test.
struct Known {
    todos: Vec<(TodoId, i64)>,
    devices: Vec<DeviceId>,
}

async fn look(stores: &Stores, known: &Known) -> Result<Seen, StoreError> {
    let store = stores.todos.as_ref();
    let text = |text: &str| Filter {
        text: Some(folded(text)),
        ..Filter::default()
    };
    let pending = Filter {
        status: Some(Status::Pending),
        ..Filter::default()
    };
    let window = Filter {
        deadline_from: Timestamp::from_micros(3),
        deadline_to: Timestamp::from_micros(30),
        ..Filter::default()
    };
    let mut lists = Vec::new();
    for filter in [
        Filter::default(),
        pending,
        window,
        text("tv"),
        text("boiler room"),
        text("ö"),
    ] {
        lists.push(all(store, &filter).await?);
    }
    let mut each = Vec::new();
    // Lists show all todos. For the other requests some todos are enough.
    for (id, number) in known.todos.iter().step_by(4) {
        let found = (
            store.get(*id).await?,
            store.number_of(*id).await?,
            store.id_of(*number).await?,
        );
        each.push(found);
    }
    let ids: Vec<TodoId> = known.todos.iter().map(|(id, _)| *id).collect();
    let mut found = store.find(&ids).await?;
    found.sort_by_key(|numbered| numbered.number);
    let mut files = Vec::new();
    for device in &known.devices {
        files.push(stores.files.info(device).await?);
    }
    Ok(Seen {
        lists,
        each,
        numbered: store.by_number(0, 10_000).await?.items,
        found,
        count: store.count().await?,
        files,
        devices: stores.files.list(None, 100).await?.items,
        word: stores.greeting.word().await?,
    })
}

/// All pages of a list.
async fn all(store: &dyn TodoStore, filter: &Filter) -> Result<Vec<Todo>, StoreError> {
    let mut todos: Vec<Todo> = Vec::new();
    // Damage may make the pages a circle.
    for _ in 0..100 {
        let after = todos.last().map(Todo::cursor);
        let page = store.list(filter, after.as_ref(), 40).await?;
        todos.extend(page.items);
        if !page.more {
            break;
        }
    }
    Ok(todos)
}

/// Stores todos, some of them moved from another store, files, and a greeting.
async fn fill(data: &Path) -> (Known, Seen) {
    let stores = Stores::open(data).await.unwrap();
    let statuses = [Status::Pending, Status::InProgress, Status::Completed];
    let mut ids = Vec::new();
    for n in 0..60_i64 {
        let title = ["Fix TV", "Paint the boiler room", "Größe messen", "water"][n as usize % 4];
        let description = format!("{n} ").repeat(n as usize);
        let new = todo(
            &format!("{title} {n}"),
            &description,
            Some(n % 40).filter(|n| n % 5 > 0),
            statuses[n as usize % 3],
        );
        ids.push(new.id);
        stores.todos.create(&new).await.unwrap();
    }
    let came: Vec<_> = (0..20)
        .map(|n| {
            (
                Some(n),
                todo(&format!("came {n}"), "TV", Some(n), Status::Pending),
            )
        })
        .collect();
    ids.extend(came.iter().map(|(_, todo)| todo.id));
    stores.todos.import(&arrivals(came)).await.unwrap();
    let mut devices = Vec::new();
    for n in 0..12_usize {
        let device = format!("device {n}");
        stores.send(&device, device.repeat(n * n).as_bytes()).await;
        devices.push(DeviceId::new(&device).unwrap());
    }
    stores.greeting.set("Ahoy".parse().unwrap()).await.unwrap();
    let mut todos = Vec::new();
    for id in ids {
        todos.push((id, stores.todos.number_of(id).await.unwrap().unwrap()));
    }
    let known = Known { todos, devices };
    let seen = look(&stores, &known).await.unwrap();
    stores.close().await;
    (known, seen)
}

#[tokio::test]
async fn closing_the_todos_leaves_the_database_open_for_files_and_the_greeting() {
    let directory = tempfile::tempdir().unwrap();
    let stores = Stores::open(directory.path()).await.unwrap();
    stores.todos.close().await.unwrap();
    let late = todo("late", "", None, Status::Pending);
    let refused = stores.todos.create(&late).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    stores.greeting.set("Ahoy".parse().unwrap()).await.unwrap();
    stores.send("202", b"a file").await;
    stores.app_database.close().await;
    let refused = stores.greeting.set("late".parse().unwrap()).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Unavailable);
}

/// A copy of a data directory.
fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    fs::create_dir(to.path().join("files")).unwrap();
    fs::copy(from.join("station.db"), to.path().join("station.db")).unwrap();
    for entry in fs::read_dir(from.join("files")).unwrap() {
        let entry = entry.unwrap();
        let name = to.path().join("files").join(entry.file_name());
        fs::copy(entry.path(), name).unwrap();
    }
    to
}

/// Changes rows without the triggers, as a fault of the disk would.
fn spoil(data: &Path, sql: &str) {
    let connection = Connection::open(data.join("station.db")).unwrap();
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)
        .unwrap();
    assert!(connection.execute(sql, []).unwrap() > 0, "{sql}");
}

fn verified(data: &Path) -> Result<Report, StoreError> {
    verify(data, &mut |_| {})
}

#[track_caller]
fn assert_named(report: &Report, words: &str) {
    assert!(!report.is_sound(), "{words}: {report:?}");
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.contains(words)),
        "{words}: {:?}",
        report.problems
    );
}
