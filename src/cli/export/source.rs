//! Where the text of an export comes from.

use anyhow::{Result, anyhow};
use reqwest::{Method, Request};

use super::{Counter, Format};
use crate::cli::client::{Client, Patience, reason};
use crate::cli::target::Target;
use crate::readings::Selection;

/// Reads everything that is selected. Stops early when nobody wants more.
///
/// # Errors
/// It cannot be read, or not to its end.
pub(super) async fn read(
    target: &Target,
    selection: &Selection,
    format: Format,
    counter: &mut Counter,
) -> Result<()> {
    match target {
        Target::Server(url) => {
            let client = Client::new(url.clone(), Patience::default())?;
            from_server(&client, selection, format, counter).await
        }
    }
}

async fn from_server(
    client: &Client,
    selection: &Selection,
    format: Format,
    counter: &mut Counter,
) -> Result<()> {
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
    let mut response = client.open(&Request::new(Method::GET, url)).await?;
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
