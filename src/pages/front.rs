//! The page itself.

use std::fmt::Write as _;

use super::Readings;
use super::format::{NOTHING, degrees, rounded_degrees, time};
use super::frame;
use super::html::escape;
use crate::greeting::Word;
use crate::http::json::grouped;
use crate::readings::{SensorSummary, Stats, Timestamp};

/// Everything that the page shows.
pub(super) struct PageData {
    pub(super) word: Word,
    /// Whether the word is the one of this moment.
    pub(super) word_is_known: bool,
    /// None when they cannot be had at the moment.
    pub(super) readings: Option<Readings>,
    /// Why nothing is stored at the moment, if that is so.
    pub(super) takes_no_writes: Option<String>,
    /// Where the visitor reaches this server: scheme, host and port.
    pub(super) origin: String,
    pub(super) style_version: u64,
    pub(super) now: Timestamp,
}

/// A sensor in the table, with its drawing and what that spans.
pub(super) struct Row {
    pub(super) sensor: SensorSummary,
    pub(super) drawing: Option<(String, String)>,
}

/// The page as HTML.
pub(super) fn render(data: &PageData) -> String {
    let word = escape(data.word.as_str());
    let mut page = String::with_capacity(16 * 1024);
    let readings = data.readings.as_ref();
    frame::open(
        &mut page,
        "Fieldstation",
        "Temperature readings of a fleet of devices, with exact statistics.",
        data.style_version,
    );
    // Writing to memory does not fail.
    let _ = writeln!(page, "<h1>Hello {word}!</h1>");
    write_notices(&mut page, data);
    write_figures(&mut page, readings);
    match readings {
        Some(readings) if !readings.rows.is_empty() => {
            write_sensors(&mut page, readings, data.now);
        }
        _ => {}
    }
    let is_empty = readings.is_some_and(|readings| readings.stats.count() == 0);
    write_next(&mut page, &escape(&data.origin), is_empty);
    frame::close(
        &mut page,
        "Times are UTC; hold the pointer over one to see it in full.",
    );
    page
}

/// What the page cannot show, if there is something.
fn write_notices(page: &mut String, data: &PageData) {
    let mut notices = Vec::new();
    let why = data.takes_no_writes.as_deref().map(escape);
    notices.extend(why.as_deref());
    if !data.word_is_known {
        notices.push(
            "The word of the greeting cannot be had at the moment. This is the one that was seen last.",
        );
    }
    if data.readings.is_none() {
        notices.push("The readings cannot be had at the moment.");
    }
    for notice in notices {
        let _ = writeln!(
            page,
            "<p class=\"notice\" role=\"status\">{notice} <a href=\"/health\">Health</a> says more.</p>"
        );
    }
}

fn write_figures(page: &mut String, readings: Option<&Readings>) {
    let stats = readings.map_or(Stats::EMPTY, |readings| readings.stats);
    let text = |value: Option<crate::readings::Temperature>| value.map(|value| value.to_string());
    let average = stats.average().map(|average| {
        let text = format!("{average:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    });
    let count = |count: Option<u64>| count.map_or_else(|| NOTHING.to_owned(), grouped);
    let cards = [
        ("low", "Minimum", degrees(text(stats.minimum()))),
        ("middle", "Average", degrees(average)),
        ("high", "Maximum", degrees(text(stats.maximum()))),
        ("", "Readings", count(readings.map(|_| stats.count()))),
        (
            "",
            "Sensors",
            count(readings.map(|readings| readings.sensors)),
        ),
    ];
    page.push_str("<section aria-label=\"Statistics over all readings\">\n<dl>\n");
    for (kind, name, value) in cards {
        let class = match kind {
            "" => String::new(),
            kind => format!(" class=\"{kind}\""),
        };
        let _ = writeln!(page, "<div{class}><dt>{name}</dt><dd>{value}</dd></div>");
    }
    page.push_str("</dl>\n</section>\n");
}

fn write_sensors(page: &mut String, readings: &Readings, now: Timestamp) {
    let shown = readings.rows.len() as u64;
    let which = if readings.sensors > shown {
        format!(
            "<p class=\"quiet\">The first {shown} of {}, in the order of their names. <a href=\"/api/sensors\">All of them</a>.</p>",
            grouped(readings.sensors)
        )
    } else {
        String::new()
    };
    let _ = write!(
        page,
        r#"<section aria-labelledby="sensors">
<h2 id="sensors">Sensors</h2>
<div class="table" role="group" aria-labelledby="sensors" tabindex="0">
<table>
<thead><tr><th scope="col">Sensor</th><th scope="col">Latest, °C</th><th scope="col">Trend</th><th scope="col">Minimum, °C</th><th scope="col">Average, °C</th><th scope="col">Maximum, °C</th><th scope="col">Readings</th><th scope="col">Last seen</th></tr></thead>
<tbody>
"#
    );
    for row in &readings.rows {
        write_row(page, row, now);
    }
    let _ = write!(page, "</tbody>\n</table>\n</div>\n{which}\n</section>\n");
}

fn write_row(page: &mut String, row: &Row, now: Timestamp) {
    let sensor = &row.sensor;
    let stats = &sensor.stats;
    let temperature = |value: Option<crate::readings::Temperature>| match value {
        Some(value) => rounded_degrees(value.micro_degrees(), &value.to_string()),
        None => NOTHING.to_owned(),
    };
    let average = stats.average().map_or_else(
        || NOTHING.to_owned(),
        // Rounded to a millionth first, far below what is shown.
        |average| rounded_degrees((average * 1e6).round() as i64, &average.to_string()),
    );
    let drawing = match &row.drawing {
        Some((svg, span)) => format!("{svg}<span class=\"span\">{span}</span>"),
        None => NOTHING.to_owned(),
    };
    let name = escape(sensor.sensor.as_str());
    let path: String = form_urlencoded::byte_serialize(sensor.sensor.as_str().as_bytes()).collect();
    let _ = writeln!(
        page,
        "<tr><th scope=\"row\"><a href=\"/api/sensors/{}\">{name}</a></th><td class=\"latest\">{}</td><td class=\"drawing\">{drawing}</td>\
         <td>{}</td><td>{average}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        // In a path a plus sign is no space.
        path.replace('+', "%20"),
        temperature(Some(sensor.latest)),
        temperature(stats.minimum()),
        temperature(stats.maximum()),
        grouped(stats.count()),
        time(sensor.last, now),
    );
}

fn write_next(page: &mut String, origin: &str, is_empty: bool) {
    let first = if is_empty {
        "No reading has arrived yet. Send the first one"
    } else {
        "Send a reading, and see the statistics follow"
    };
    let _ = write!(
        page,
        r#"<section aria-labelledby="next">
<h2 id="next">What to try next</h2>
<ol>
<li><h3>{first}</h3>
<pre tabindex="0"><code>curl -X PUT {origin}/api/temperature \
  -d '{{"sensorId":"202","temperature":18}}'
curl {origin}/api/stats</code></pre></li>
<li><h3>Greet somebody else</h3>
<pre tabindex="0"><code>curl {origin}/hello -d 'Ann'
curl {origin}/hello</code></pre></li>
<li><h3>Store the file of a device</h3>
<pre tabindex="0"><code>curl -X PUT -F 'file=@photo.png' \
  {origin}/api/devices/202
curl {origin}/api/devices/202/info</code></pre></li>
<li><h3>Add a todo</h3>
<pre tabindex="0"><code>curl {origin}/api/todos -d 'title=Water the plants'
curl {origin}/api/todos</code></pre></li>
<li><h3>Import a file, CSV or NDJSON</h3>
<pre tabindex="0"><code>fieldstation import readings.csv \
  --sensor-id machine-1 --url {origin}</code></pre></li>
<li><h3>Simulate a fleet, and have the count proved</h3>
<pre tabindex="0"><code>fieldstation simulate --sensors 100 --rate 1000 \
  --duration 10s --url {origin}</code></pre></li>
</ol>
</section>
"#
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::{SensorId, Temperature};

    fn data(readings: Option<Readings>) -> PageData {
        PageData {
            word: Word::default(),
            word_is_known: true,
            readings,
            takes_no_writes: None,
            origin: "http://station:5000".to_owned(),
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
        let page = render(&data(Some(empty())));
        assert!(page.contains("<h1>Hello World!</h1>"));
        assert!(page.contains("No reading has arrived yet"));
        assert!(page.contains("http://station:5000/api/temperature"));
        assert!(!page.contains("<table") && !page.contains("notice"));
        assert!(!page.contains("null") && !page.contains("NaN"), "{page}");
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        let page = render(&PageData {
            word_is_known: false,
            ..data(None)
        });
        assert!(page.contains("<h1>Hello World!</h1>"));
        assert_eq!(page.matches("cannot be had at the moment").count(), 2);
        assert_eq!(page.matches("<dd>—</dd>").count(), 5);
        assert!(!page.contains("No reading has arrived yet"));
    }

    #[test]
    fn whatever_is_not_ours_is_escaped() {
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
        let row = Row {
            sensor,
            drawing: None,
        };
        let page = render(&PageData {
            word: "<script>'".parse().unwrap(),
            origin: "\"><script>'&".to_owned(),
            ..data(Some(Readings {
                stats,
                sensors: 1_204,
                rows: vec![row],
            }))
        });
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("<h1>Hello &lt;script&gt;&#39;!</h1>"));
        assert!(page.contains("&lt;script&gt; /&quot;+&amp;</a>"));
        assert!(page.contains("href=\"/api/sensors/%3Cscript%3E%20%2F%22%2B%26\""));
        assert!(
            page.contains("<dd>−6 <span class=\"unit\">°C</span></dd>"),
            "{page}"
        );
        assert!(page.contains("<dd>11 <span class=\"unit\">°C</span></dd>"));
        assert!(page.contains("<dd>1,204</dd>"));
        assert!(page.contains("The first 1 of 1,204"));
        assert!(page.contains("1&nbsp;min ago"));
    }
}
