//! The promises of every backend of the greeting.

use std::sync::Arc;

use fieldstation::greeting::{GreetingStore, Word};
use futures_util::future::join_all;

/// Makes a test of each promise and each backend, such as `redis::a_working_store_is_ready`. The two stores are two replicas.
macro_rules! suite {
    ($($behaviour:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let directory = tempfile::tempdir().unwrap();
                    let (one, other) = super::sqlite_stores(directory.path());
                    super::$behaviour(&*one, &*other).await;
                }
            )*
        }

        #[cfg(feature = "cloud")]
        mod redis {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let server = crate::support::RedisServer::start();
                    let [one, other] = [super::redis_store(&server), super::redis_store(&server)];
                    super::$behaviour(&*one, &*other).await;
                }
            )*
        }
    };
}

suite![
    the_word_is_world_until_a_word_is_set,
    any_word_is_read_as_it_was_set,
    the_last_word_replaces_the_others,
    every_replica_reads_a_new_word_at_once,
    of_words_set_at_the_same_time_one_complete_word_remains,
    a_working_store_is_ready,
];

type Store = Arc<dyn GreetingStore>;

/// Only a single process may use a data directory, so both stores share a database.
fn sqlite_stores(directory: &std::path::Path) -> (Store, Store) {
    use fieldstation::greeting::sqlite::SqliteGreeting;
    use fieldstation::storage::app_database::AppDatabase;
    use fieldstation::storage::data_directory::DataDirectory;

    let directory = Arc::new(DataDirectory::open(directory).unwrap());
    let app_database = AppDatabase::open(directory).unwrap();
    let store = || Arc::new(SqliteGreeting::new(Arc::clone(&app_database)));
    (store(), store())
}

#[cfg(feature = "cloud")]
fn redis_store(server: &crate::support::RedisServer) -> Store {
    let url = server.url().parse().unwrap();
    Arc::new(fieldstation::greeting::redis::RedisGreeting::new(&url).unwrap())
}

fn word(text: &str) -> Word {
    text.parse().unwrap()
}

async fn the_word_is_world_until_a_word_is_set(one: &dyn GreetingStore, other: &dyn GreetingStore) {
    assert_eq!(one.word().await.unwrap().as_str(), "World");
    assert_eq!(other.word().await.unwrap().as_str(), "World");
    one.set(word("World")).await.unwrap();
    assert_eq!(one.word().await.unwrap().as_str(), "World");
}

async fn any_word_is_read_as_it_was_set(one: &dyn GreetingStore, _: &dyn GreetingStore) {
    let longest = "\u{10ffff}".repeat(Word::CHARACTERS_MAX);
    for text in [
        "tera-webapp",
        " a ",
        "0",
        "<script>",
        "'; DROP TABLE greeting; --",
        "{\"a\":1}",
        "Grüße, 世界 👋🏽",
        "e\u{301}",
        "*3\u{a0}$3",
        &longest,
    ] {
        one.set(word(text)).await.unwrap();
        assert_eq!(one.word().await.unwrap().as_str(), text);
    }
}

async fn the_last_word_replaces_the_others(one: &dyn GreetingStore, other: &dyn GreetingStore) {
    for n in 0..50 {
        let by = if n % 3 == 0 { other } else { one };
        by.set(word(&n.to_string())).await.unwrap();
    }
    assert_eq!(one.word().await.unwrap().as_str(), "49");
    assert_eq!(other.word().await.unwrap().as_str(), "49");
}

async fn every_replica_reads_a_new_word_at_once(
    one: &dyn GreetingStore,
    other: &dyn GreetingStore,
) {
    for n in 0..50 {
        let text = format!("word {n}");
        one.set(word(&text)).await.unwrap();
        assert_eq!(other.word().await.unwrap().as_str(), text);
    }
}

async fn of_words_set_at_the_same_time_one_complete_word_remains(
    one: &dyn GreetingStore,
    other: &dyn GreetingStore,
) {
    let text = |n: usize| format!("{n}-").repeat(50 / (n + 1) + 1);
    let texts: Vec<_> = (0..8).map(text).collect();
    let sets = texts.iter().enumerate().map(|(n, text)| async move {
        let by = if n % 2 == 0 { one } else { other };
        by.set(word(text)).await.unwrap();
        let seen = by.word().await.unwrap();
        assert!(is_one_number_repeated(seen.as_str()), "{seen}");
    });
    join_all(sets).await;
    let last = one.word().await.unwrap();
    assert!(texts.iter().any(|text| text == last.as_str()), "{last}");
    assert_eq!(other.word().await.unwrap(), last);
}

/// Whether a text repeats a single number.
fn is_one_number_repeated(text: &str) -> bool {
    let mut numbers = text.trim_end_matches('-').split('-');
    let first = numbers.next();
    numbers.all(|number| Some(number) == first)
}

async fn a_working_store_is_ready(one: &dyn GreetingStore, other: &dyn GreetingStore) {
    one.ready().await.unwrap();
    other.ready().await.unwrap();
    one.set(word("a")).await.unwrap();
    one.ready().await.unwrap();
}
