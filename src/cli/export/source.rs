//! Where the text of an export comes from.

use anyhow::anyhow;
use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::{Method, Request};

use super::{Counter, Format};
use crate::cli::client::{Client, Patience, reason};
use crate::cli::target::{Target, open_store_to_read};
use crate::cli::wire;
use crate::cli::{Failure, FailureKind};
use crate::error::StoreError;
use crate::readings::embedded::EmbeddedStore;
use crate::readings::{ReadingStore, Selection};

/// Reads everything that is selected. Stops early when nobody wants more.
///
/// # Errors
/// It cannot be read, or not to its end.
pub(super) async fn read(
    target: &Target,
    selection: &Selection,
    format: Format,
    counter: &mut Counter,
) -> Result<(), Failure> {
    match target {
        Target::Server(url) => {
            let client = Client::new(url.clone(), Patience::default())?;
            from_server(&client, selection, format, counter).await
        }
        Target::Directory(directory) => {
            // Opening would make an empty one.
            if !directory.is_dir() {
                let missing = anyhow!("there is no directory {}", directory.display());
                return Err(Failure::new(FailureKind::Initialization, missing));
            }
            let store = open_store_to_read(directory)?;
            let read = from_store(&store, selection, format, counter).await;
            store.close().await.map_err(failed)?;
            read
        }
    }
}

async fn from_store(
    store: &EmbeddedStore,
    selection: &Selection,
    format: Format,
    counter: &mut Counter,
) -> Result<(), Failure> {
    let mut blocks = store.export(selection).await.map_err(failed)?;
    if format == Format::Csv && !counter.pass(Bytes::from_static(wire::CSV_HEADER)).await {
        return Ok(());
    }
    while let Some(block) = blocks.next().await {
        let block = block.map_err(failed)?;
        let mut text = Vec::new();
        let sensor_id = block.sensor.as_str();
        match format {
            Format::Csv => {
                let id = wire::csv_id(sensor_id);
                for point in block.points {
                    wire::write_row(&mut text, &id, point);
                }
            }
            Format::Ndjson => {
                let id = wire::json_id(sensor_id);
                for point in block.points {
                    wire::write_line(&mut text, &id, point);
                }
            }
        }
        if !counter.pass(text.into()).await {
            break;
        }
    }
    Ok(())
}

async fn from_server(
    client: &Client,
    selection: &Selection,
    format: Format,
    counter: &mut Counter,
) -> Result<(), Failure> {
    let mut url = client.server().at(&["api", "readings"]);
    {
        let mut query = url.query_pairs_mut();
        query.append_pair(
            "format",
            match format {
                Format::Csv => "csv",
                Format::Ndjson => "ndjson",
            },
        );
        if let Some(sensor) = &selection.sensor {
            query.append_pair("sensorId", sensor.as_str());
        }
        if let Some(from) = selection.window.from {
            query.append_pair("from", &from.to_string());
        }
        if let Some(to) = selection.window.to {
            query.append_pair("to", &to.to_string());
        }
    }
    let mut response = client
        .open(&Request::new(Method::GET, url))
        .await
        .map_err(anyhow::Error::from)?;
    loop {
        let piece = response.chunk().await.map_err(|error| {
            anyhow!(
                "the export from {} broke off after {} readings: {}",
                client.server(),
                counter.readings(),
                reason(&error)
            )
        })?;
        match piece {
            None => return Ok(()),
            Some(piece) => {
                if !counter.pass(piece).await {
                    return Ok(());
                }
            }
        }
    }
}

fn failed(error: StoreError) -> Failure {
    anyhow::Error::from(error).into()
}
