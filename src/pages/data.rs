//! The data of the pages, read from the stores within a time limit.

use std::time::Duration;

use futures_util::future::join_all;
use maud::Markup;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::sparkline::{self, Span};
use crate::app::App;
use crate::greeting::Word;
use crate::readings::{Page, ReadingStore, Selection, SensorSummary, Stats, Timestamp};

/// The time limit for the word. After this time the page shows the last word from the store.
const WORD_TIMEOUT: Duration = Duration::from_millis(300);

/// The time limit for the statistics, and again for the sparklines.
const READINGS_TIMEOUT: Duration = Duration::from_secs(1);

/// The number of sensors on the front page; `/api/sensors` lists all.
const SENSORS_MAX: usize = 8;

/// Reads the data of the pages.
pub(super) struct DataSource {
    app: App,
    is_read_only: bool,
    /// The last word from the store. Pages show this word while the store cannot be reached. The routes of the greeting never use this
    /// word.
    last_word: Mutex<Word>,
}

/// The data of the front page.
pub(super) struct FrontPageData {
    pub(super) word: Word,
    /// Whether the word was read for this page. Otherwise the word comes from an earlier read.
    pub(super) word_is_current: bool,
    /// None while the readings cannot be read.
    pub(super) readings: Option<Readings>,
    /// The reason why the server stores nothing at the moment; none while the server takes writes.
    pub(super) writes_refused: Option<String>,
    /// Scheme, host and port of this server from the view of the visitor.
    pub(super) origin: String,
    pub(super) style_version: u64,
    pub(super) now: Timestamp,
}

/// The statistics over all readings, and the first sensors.
pub(super) struct Readings {
    pub(super) stats: Stats,
    /// The number of all sensors.
    pub(super) sensors: u64,
    pub(super) rows: Vec<SensorRow>,
}

/// A sensor in the table.
pub(super) struct SensorRow {
    pub(super) sensor: SensorSummary,
    /// None for a sensor with nothing to draw, and when the time limit is over.
    pub(super) sparkline: Option<Sparkline>,
}

/// A drawing of a sensor's last hours, and how many hours these are.
#[derive(Clone)]
pub(super) struct Sparkline {
    pub(super) svg: Markup,
    pub(super) span: String,
}

impl DataSource {
    pub(super) fn new(app: App, is_read_only: bool) -> Self {
        Self {
            app,
            is_read_only,
            last_word: Mutex::default(),
        }
    }

    /// The data of the front page. A store without an answer leaves a gap, and the page never fails.
    pub(super) async fn front_page(&self, origin: String, style_version: u64) -> FrontPageData {
        let ((word, word_is_current), readings) = tokio::join!(self.word(), self.readings());
        FrontPageData {
            word,
            word_is_current,
            readings,
            writes_refused: self.writes_refused(),
            origin,
            style_version,
            now: Timestamp::now(),
        }
    }

    fn writes_refused(&self) -> Option<String> {
        if self.is_read_only {
            return Some("This server only reads: what is sent to it is refused.".to_owned());
        }
        let directory = self.app.directory()?;
        let error = directory.ready().err()?;
        Some(format!("Nothing can be stored at the moment. {error}."))
    }

    /// The word, and whether the word was read just now.
    async fn word(&self) -> (Word, bool) {
        match timeout(WORD_TIMEOUT, self.app.greeting.word()).await {
            Ok(Ok(word)) => {
                *self.last_word.lock() = word.clone();
                (word, true)
            }
            Ok(Err(_)) | Err(_) => (self.last_word.lock().clone(), false),
        }
    }

    async fn readings(&self) -> Option<Readings> {
        let store = &*self.app.readings;
        let all = Selection::default();
        let figures = async {
            tokio::try_join!(
                store.stats(&all),
                store.sensor_count(),
                store.sensors(None, SENSORS_MAX)
            )
        };
        let (stats, sensors, Page { items, .. }) =
            timeout(READINGS_TIMEOUT, figures).await.ok()?.ok()?;
        let sparklines = join_all(items.iter().map(|sensor| sparkline(store, sensor)));
        let sparklines = timeout(READINGS_TIMEOUT, sparklines).await;
        let sparklines = sparklines.unwrap_or_else(|_| vec![None; items.len()]);
        let rows = items.into_iter().zip(sparklines);
        Some(Readings {
            stats,
            sensors,
            rows: rows
                .map(|(sensor, sparkline)| SensorRow { sensor, sparkline })
                .collect(),
        })
    }
}

/// A sensor's last hours; none when there is nothing to draw or the store fails.
async fn sparkline(store: &dyn ReadingStore, sensor: &SensorSummary) -> Option<Sparkline> {
    let span = Span::of(sensor)?;
    let series = store.series(&sensor.sensor, span.window, span.buckets);
    let series = series.await.ok()??;
    Some(Sparkline {
        svg: sparkline::draw(sensor, &span, &series)?,
        span: span.label(),
    })
}
