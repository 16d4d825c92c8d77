//! The source of an export: a server or a data directory.

use anyhow::anyhow;
use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::{Method, Request};

use super::Counter;
use crate::cli::client::{Client, reason};
use crate::cli::format::Format;
use crate::cli::retry::RetryPolicy;
use crate::cli::target::{Target, open_store_to_read};
use crate::cli::{Failure, FailureKind};
use crate::error::StoreError;
use crate::readings::embedded::EmbeddedStore;
use crate::readings::encode::TextFormat;
use crate::readings::{ReadingStore, Selection};

/// Reads the selected readings as text. Stops early when the output is closed.
///
/// # Errors
/// The source cannot be read to its end.
pub(super) async fn read(
    target: &Target,
    selection: &Selection,
    format: Format,
    counter: &mut Counter,
) -> Result<(), Failure> {
    match target {
        Target::Server(url) => {
            let client = Client::new(url.clone(), RetryPolicy::default())?;
            from_server(&client, selection, format, counter).await
        }
        Target::Directory(directory) => {
            // Opening would create an empty directory.
            if !directory.is_dir() {
                let missing = anyhow!("there is no directory {}", directory.display());
                return Err(Failure::new(FailureKind::Initialization, missing));
            }
            let store = open_store_to_read(directory)?;
            let read = from_store(&store, selection, format, counter).await;
            store.close().await.map_err(store_failure)?;
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
    let mut blocks = store.export(selection).await.map_err(store_failure)?;
    let format = TextFormat::from(format);
    let header = Bytes::from_static(format.header());
    if !header.is_empty() && !counter.pass(header).await {
        return Ok(());
    }
    while let Some(block) = blocks.next().await {
        let mut text = Vec::new();
        format.write_block(&mut text, &block.map_err(store_failure)?);
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
        .open(&Request::new(Method::GET, url), |notice| {
            eprintln!("{notice}");
        })
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

fn store_failure(error: StoreError) -> Failure {
    anyhow::Error::from(error).into()
}
