//! Opens the store. The server may already listen meanwhile.

use std::sync::Arc;

use tracing::info;

use super::recovery::{self, Recovered};
use crate::error::StoreError;
use crate::readings::embedded::database;
use crate::readings::embedded::format::chunks;
use crate::readings::embedded::format::file::failed;
use crate::readings::embedded::options::EmbeddedOptions;
use crate::readings::embedded::schema::DATABASE;
use crate::readings::embedded::shared::Shared;
use crate::readings::embedded::write::writer::{Start, Writer};
use crate::storage::data_directory::DataDirectory;
use crate::storage::sqlite::write_ahead_log::Checkpointer;

/// Opens the file (creates the file if missing), and recovers the index. A read-only store has no writer, and creates and changes
/// no file.
pub(crate) fn open(
    directory: Arc<DataDirectory>,
    options: &EmbeddedOptions,
    shared: &Shared,
) -> Result<Option<Writer>, StoreError> {
    let progress = &shared.opening.progress;
    if directory.is_read_only() {
        let connection = database::open_reader_of(&directory)?;
        publish(shared, recovery::recover(&connection, progress)?);
        return Ok(None);
    }
    let mut connection = directory.open_writer(&DATABASE)?;
    let folding = Checkpointer::new(&mut connection, DATABASE.checkpoint_pages)
        .map_err(|error| failed("set up readings.db", error))?;
    let mut recovered = recovery::recover(&connection, progress)?;
    recovered.count(&connection, options, progress)?;
    let last_data = chunks::last_data(&connection)?;
    let writer = Writer::new(
        options.clone(),
        directory,
        connection,
        folding,
        Start {
            ledger: recovered.ledger,
            last_sequence: recovered.last_sequence,
            log_readings: recovered.log_readings as usize,
            last_data,
        },
    );
    publish(shared, recovered);
    Ok(Some(writer))
}

/// Makes the recovered index visible to readers.
fn publish(shared: &Shared, recovered: Recovered) {
    info!(
        sensors = recovered.index.len(),
        readings = recovered.index.totals.count(),
        log_rows = recovered.log_rows,
        "readings are open"
    );
    *shared.totals.lock() = recovered.index.totals;
    *shared.index.write() = recovered.index;
}
