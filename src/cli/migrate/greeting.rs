//! Copies the word of the greeting between backends, or from the Redis of an older page.

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;

use super::failure::{check_data_exists, open_failure, store_failure};
use crate::backend_url::BackendUrl;
use crate::cli::{Failure, FailureKind, runtime, standard_output};
use crate::greeting::redis::RedisGreeting;
use crate::greeting::redis::older;
use crate::greeting::{self, GreetingStore, Word, WordError};
use crate::storage::app_database::AppDatabase;
use crate::storage::data_directory::DataDirectory;

/// Copies and compares the word, and prints the result.
pub(super) fn run(from: &BackendUrl, to: &BackendUrl, data: &Path) -> Result<(), Failure> {
    if from.scheme() == "sqlite" {
        check_data_exists(data)?;
    }
    let app_database = OnceCell::new();
    let source = match from.scheme() {
        "sqlite" => Source::Store(open(from, data, &app_database)?),
        _ => {
            let redis = RedisGreeting::new(from).map_err(|error| open_failure(from, error))?;
            Source::Redis(Box::new(redis))
        }
    };
    let target = open(to, data, &app_database)?;
    runtime::block_on(2, async {
        let verdict = copy(source, from, &*target, to).await;
        if let Some(app_database) = app_database.get() {
            let app_database: &Arc<AppDatabase> = app_database;
            app_database.close().await;
        }
        verdict
    })
}

enum Source {
    Store(Arc<dyn GreetingStore>),
    /// Redis with the word of this program or of an older page.
    Redis(Box<RedisGreeting>),
}

fn open(
    url: &BackendUrl,
    data: &Path,
    app_database: &OnceCell<Arc<AppDatabase>>,
) -> Result<Arc<dyn GreetingStore>, Failure> {
    let app_database = || {
        let directory = Arc::new(DataDirectory::open(data)?);
        let opened = AppDatabase::open(directory)?;
        Ok(Arc::clone(app_database.get_or_init(|| opened)))
    };
    greeting::open(url, app_database).map_err(|error| open_failure(url, error))
}

async fn copy(
    source: Source,
    from: &BackendUrl,
    target: &dyn GreetingStore,
    to: &BackendUrl,
) -> Result<(), Failure> {
    let word = match source {
        Source::Store(store) => store.word().await.map_err(store_failure)?,
        Source::Redis(redis) => {
            // Only keys of this program have a prefix.
            let older = if from.rest().contains("prefix=") {
                None
            } else {
                redis.older_word().await.map_err(store_failure)?
            };
            match older {
                Some(bytes) => of_older_page(bytes, from)?,
                None if !redis.has_word().await.map_err(store_failure)? => {
                    return Err(anyhow!(
                        "there is no word at {from}: neither the key {} of an older page, nor one of this program. Is it in \
                         another database? Its number is the path of the URL, as in redis://host:6379/1",
                        older::KEY
                    )
                    .into());
                }
                None if from == to => {
                    let error = anyhow!("--from and --to are the same: {from}");
                    return Err(Failure::new(FailureKind::Configuration, error));
                }
                None => redis.word().await.map_err(store_failure)?,
            }
        }
    };
    target.set(word.clone()).await.map_err(store_failure)?;
    let stored = target.word().await.map_err(store_failure)?;
    if stored != word {
        return Err(anyhow!(
            "{to} says {stored:?}, not {word:?}: somebody has set another word meanwhile; run this again"
        )
        .into());
    }
    standard_output::print(&format!("The word on both sides: {word}\n"))?;
    Ok(())
}

/// The word of an older page. The older page accepted any text.
fn of_older_page(bytes: Vec<u8>, from: &BackendUrl) -> Result<Word, Failure> {
    let key = older::KEY;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow!("the word under the key {key} at {from} is not UTF-8: byte {at} is wrong. {TO_DO}")
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let word = line.parse::<Word>().map_err(|error| {
        let why = match error {
            WordError::Empty => "has nothing in it that could be seen".to_owned(),
            WordError::TooLong => format!(
                "has {} characters, and may have {}",
                line.chars().count(),
                Word::CHARACTERS_MAX
            ),
            WordError::Control {
                character: '\n', ..
            } => "has several lines".to_owned(),
            WordError::Control {
                character,
                position,
            } => format!(
                "has the control character U+{:04X} as character {position}",
                u32::from(character)
            ),
        };
        anyhow!("the word under the key {key} at {from} {why}. {TO_DO}")
    })?;
    let mut text_of =
        format!("{from} is read as an older page's: the string under the key {key}.\n");
    if line.len() < text.len() {
        text_of += "The line end at its end is not part of the word, and left out.\n";
    }
    standard_output::print(&text_of)?;
    Ok(word)
}

/// The advice for a word that is not valid here.
const TO_DO: &str = "Nothing was changed. A word is one line of 1 to 200 characters: change it with redis-cli SET hello, and run \
                     this again, or set another one afterwards with POST /hello";
