//! The query parameters and path parameters of readings.

use crate::http::{Problem, Query};
use crate::readings::{Selection, SensorId, Window};

/// The window of `from` and `to`.
///
/// # Errors
/// 400 when a bound is not a timestamp.
pub(super) fn window(query: &Query) -> Result<Window, Problem> {
    Ok(Window {
        from: query.time("from")?,
        to: query.time("to")?,
    })
}

/// The readings selected by `sensorId`, `from` and `to`.
///
/// # Errors
/// 400 when a parameter is malformed.
pub(super) fn selection(query: &Query) -> Result<Selection, Problem> {
    let sensor = query.get("sensorId");
    Ok(Selection {
        sensor: sensor.map(|text| sensor_id("sensorId", text)).transpose()?,
        window: window(query)?,
    })
}

/// A sensor id in the parameter `name`.
///
/// # Errors
/// 400 when the text is not a sensor id.
pub(super) fn sensor_id(name: &str, text: &str) -> Result<SensorId, Problem> {
    SensorId::new(text).map_err(|error| Problem::parameter(name, error))
}
