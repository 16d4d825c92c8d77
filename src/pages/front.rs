//! The front page.

use maud::{Markup, html};

use super::data::{FrontPageData, Readings, SensorRow};
use super::format::{NOTHING, degrees, rounded_degrees, time};
use super::frame::{self, Frame};
use crate::http::json::grouped;
use crate::readings::{Stats, Temperature, Timestamp};

/// The headings of the table of sensors.
const COLUMNS: [&str; 8] = [
    "Sensor",
    "Latest, °C",
    "Trend",
    "Minimum, °C",
    "Average, °C",
    "Maximum, °C",
    "Readings",
    "Last seen",
];

/// The whole page.
pub(super) fn page(data: &FrontPageData) -> Markup {
    let readings = data.readings.as_ref();
    let is_empty = readings.is_some_and(|readings| readings.stats.count() == 0);
    let frame = Frame {
        title: "Fieldstation",
        description: "Temperature readings of a fleet of devices, with exact statistics.",
        footer: "Times are UTC; hold the pointer over one to see it in full.",
        style_version: data.style_version,
    };
    let main = html! {
        h1 { "Hello " (data.word.as_str()) "!" }
        (notices(data))
        (figures(readings))
        @if let Some(readings) = readings && !readings.rows.is_empty() {
            (sensors(readings, data.now))
        }
        (next_steps(&data.origin, is_empty))
    };
    frame::page(&frame, &main)
}

/// Names the data that the page cannot show.
fn notices(data: &FrontPageData) -> Markup {
    let word = (!data.word_is_current).then_some(
        "The word of the greeting cannot be had at the moment. This is the one that was seen last.",
    );
    let readings = data
        .readings
        .is_none()
        .then_some("The readings cannot be had at the moment.");
    let notices = [data.writes_refused.as_deref(), word, readings];
    html! {
        @for notice in notices.into_iter().flatten() {
            p.notice role="status" { (notice) " " a href="/health" { "Health" } " says more." }
        }
    }
}

/// The statistics over all readings.
fn figures(readings: Option<&Readings>) -> Markup {
    let stats = readings.map_or(Stats::EMPTY, |readings| readings.stats);
    let text = |value: Option<Temperature>| value.map(|value| value.to_string());
    let average = stats.average().map(|average| {
        let text = format!("{average:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    });
    let count = |count: Option<u64>| {
        let count = count.map_or_else(|| NOTHING.to_owned(), grouped);
        html! { (count) }
    };
    let cards = [
        (Some("low"), "Minimum", degrees(text(stats.minimum()))),
        (Some("middle"), "Average", degrees(average)),
        (Some("high"), "Maximum", degrees(text(stats.maximum()))),
        (None, "Readings", count(readings.map(|_| stats.count()))),
        (
            None,
            "Sensors",
            count(readings.map(|readings| readings.sensors)),
        ),
    ];
    html! {
        section aria-label="Statistics over all readings" {
            dl {
                @for (class, name, value) in &cards {
                    div class=[class] { dt { (name) } dd { (value) } }
                }
            }
        }
    }
}

fn sensors(readings: &Readings, now: Timestamp) -> Markup {
    let shown = readings.rows.len() as u64;
    html! {
        section aria-labelledby="sensors" {
            h2 id="sensors" { "Sensors" }
            div.table role="group" aria-labelledby="sensors" tabindex="0" {
                table {
                    thead {
                        tr {
                            @for column in COLUMNS {
                                th scope="col" { (column) }
                            }
                        }
                    }
                    tbody {
                        @for row in &readings.rows {
                            (sensor(row, now))
                        }
                    }
                }
            }
            @if readings.sensors > shown {
                p.quiet {
                    "The first " (shown) " of " (grouped(readings.sensors)) ", in the order of their names. "
                    a href="/api/sensors" { "All of them" } "."
                }
            }
        }
    }
}

fn sensor(row: &SensorRow, now: Timestamp) -> Markup {
    let sensor = &row.sensor;
    let stats = &sensor.stats;
    let temperature = |value: Option<Temperature>| match value {
        Some(value) => rounded_degrees(value.micro_degrees(), &value.to_string()),
        None => html! { (NOTHING) },
    };
    let average = stats.average().map_or_else(
        || html! { (NOTHING) },
        // Rounded to a millionth first, far below the two decimals shown.
        |average| rounded_degrees((average * 1e6).round() as i64, &average.to_string()),
    );
    let name = sensor.sensor.as_str();
    let path: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    // A plus sign means a space in a query, not in a path.
    let path = format!("/api/sensors/{}", path.replace('+', "%20"));
    html! {
        tr {
            th scope="row" { a href=(path) { (name) } }
            td.latest { (temperature(Some(sensor.latest))) }
            td.drawing {
                @match &row.sparkline {
                    Some(sparkline) => { (sparkline.svg) span.span { (sparkline.span) } }
                    None => { (NOTHING) }
                }
            }
            td { (temperature(stats.minimum())) }
            td { (average) }
            td { (temperature(stats.maximum())) }
            td { (grouped(stats.count())) }
            td { (time(sensor.last, now)) }
        }
    }
}

/// Commands to paste into a shell.
fn next_steps(origin: &str, is_empty: bool) -> Markup {
    let first = if is_empty {
        "No reading has arrived yet. Send the first one"
    } else {
        "Send a reading, and see the statistics follow"
    };
    let steps = [
        (
            first,
            format!(
                "curl -X PUT {origin}/api/temperature \\\n  -d '{{\"sensorId\":\"202\",\"temperature\":18}}'\n\
                 curl {origin}/api/stats"
            ),
        ),
        (
            "Greet somebody else",
            format!("curl {origin}/hello -d 'Ann'\ncurl {origin}/hello"),
        ),
        (
            "Store the file of a device",
            format!(
                "curl -X PUT -F 'file=@photo.png' \\\n  {origin}/api/devices/202\n\
                 curl {origin}/api/devices/202/info"
            ),
        ),
        (
            "Add a todo",
            format!(
                "curl {origin}/api/todos -d 'title=Water the plants'\n\
                 curl {origin}/api/todos"
            ),
        ),
        (
            "Import a file, CSV or NDJSON",
            format!("fieldstation import readings.csv \\\n  --sensor-id machine-1 --url {origin}"),
        ),
        (
            "Simulate a fleet, and have the count proved",
            format!(
                "fieldstation simulate --sensors 100 --rate 1000 \\\n  --duration 10s --url {origin}"
            ),
        ),
    ];
    html! {
        section aria-labelledby="next" {
            h2 id="next" { "What to try next" }
            ol {
                @for (heading, commands) in &steps {
                    li {
                        h3 { (heading) }
                        pre tabindex="0" { code { (commands) } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::greeting::Word;
    use crate::readings::{SensorId, SensorSummary};

    fn data(readings: Option<Readings>) -> FrontPageData {
        FrontPageData {
            word: Word::default(),
            word_is_current: true,
            readings,
            writes_refused: None,
            origin: "http://server:5000".to_owned(),
            style_version: 7,
            now: "2026-11-20T13:00:00Z".parse().unwrap(),
        }
    }

    fn empty() -> Readings {
        Readings {
            stats: Stats::EMPTY,
            sensors: 0,
            rows: Vec::new(),
        }
    }

    #[test]
    fn an_empty_page_teaches_and_shows_no_null() {
        let page = page(&data(Some(empty()))).into_string();
        assert!(page.contains("<h1>Hello World!</h1>"));
        assert!(page.contains("No reading has arrived yet"));
        assert!(page.contains("http://server:5000/api/temperature"));
        assert!(!page.contains("<table") && !page.contains("notice"));
        assert!(!page.contains("null") && !page.contains("NaN"), "{page}");
    }

    #[test]
    fn the_page_says_which_data_is_missing() {
        let page = page(&FrontPageData {
            word_is_current: false,
            ..data(None)
        })
        .into_string();
        assert!(page.contains("<h1>Hello World!</h1>"));
        assert_eq!(page.matches("cannot be had at the moment").count(), 2);
        assert_eq!(page.matches("<dd>—</dd>").count(), 5);
        assert!(!page.contains("No reading has arrived yet"));
    }

    #[test]
    fn foreign_text_is_escaped() {
        let stats: Stats = ["-6", "28"]
            .iter()
            .map(|text| text.parse::<Temperature>().unwrap())
            .collect();
        let time = "2026-11-20T12:59:00Z".parse().unwrap();
        let sensor = SensorSummary {
            sensor: SensorId::new("<script> /\"+&").unwrap(),
            stats,
            first: time,
            last: time,
            latest: "28".parse().unwrap(),
        };
        let row = SensorRow {
            sensor,
            sparkline: None,
        };
        let page = page(&FrontPageData {
            word: "<script>'".parse().unwrap(),
            origin: "\"><script>'&".to_owned(),
            ..data(Some(Readings {
                stats,
                sensors: 1_204,
                rows: vec![row],
            }))
        })
        .into_string();
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("<h1>Hello &lt;script&gt;'!</h1>"));
        assert!(page.contains("&lt;script&gt; /&quot;+&amp;</a>"));
        assert!(page.contains("href=\"/api/sensors/%3Cscript%3E%20%2F%22%2B%26\""));
        assert!(
            page.contains("<dd>−6 <span class=\"unit\">°C</span></dd>"),
            "{page}"
        );
        assert!(page.contains("<dd>11 <span class=\"unit\">°C</span></dd>"));
        assert!(page.contains("<dd>1,204</dd>"));
        assert!(page.contains("The first 1 of 1,204"));
        assert!(page.contains("1\u{a0}min ago"));
    }
}
