//! A sensor's last day as a small drawing: a line of averages in a band between minimum and maximum.

use maud::{Markup, html};

use super::format::duration;
use crate::readings::{Bucket, SensorSummary, Series, Timestamp, Window};

/// The size in the units of the drawing. The page stretches the drawing.
const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 32.0;
/// The space above and below the line.
const MARGIN: f64 = 2.0;

const BUCKETS_MAX: u64 = 60;
const HOUR_MICROS: i64 = 3_600_000_000;
/// A sensor with more readings per day is drawn for an hour, so that a page does not read tens of thousands of readings.
const DAY_READINGS_MAX: f64 = 10_000.0;

/// The drawn window of a sensor. The window ends with the last reading, not now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) window: Window,
    pub(super) buckets: usize,
    micros: i64,
}

impl Span {
    /// The span of a sensor; none for a single reading.
    pub(super) fn of(sensor: &SensorSummary) -> Option<Self> {
        let micros = sensor.last.micros() - sensor.first.micros();
        if micros <= 0 {
            return None;
        }
        let per_hour = sensor.stats.count() as f64 / (micros as f64 / HOUR_MICROS as f64);
        let hours = if per_hour * 24.0 > DAY_READINGS_MAX {
            1
        } else {
            24
        };
        let from = (sensor.last.micros() - hours * HOUR_MICROS).max(sensor.first.micros());
        let micros = sensor.last.micros() - from;
        let drawn_hours = micros as f64 / HOUR_MICROS as f64;
        // About two readings per bucket, so that an empty bucket is a pause of the sensor.
        let buckets = (per_hour * drawn_hours / 2.0) as u64;
        Some(Self {
            window: Window {
                from: Timestamp::from_micros(from),
                to: Timestamp::from_micros(sensor.last.micros() + 1),
            },
            buckets: buckets.clamp(2, BUCKETS_MAX) as usize,
            micros,
        })
    }

    /// The length of the window in words.
    pub(super) fn label(&self) -> String {
        match self.micros / HOUR_MICROS {
            24 => "24\u{a0}h".to_owned(),
            _ => duration(self.micros.unsigned_abs().div_ceil(1_000_000)),
        }
    }
}

/// The drawing; `None` for a window without readings.
pub(super) fn draw(sensor: &SensorSummary, span: &Span, series: &Series) -> Option<Markup> {
    let filled = || {
        series
            .buckets
            .iter()
            .filter(|bucket| bucket.stats.count() > 0)
    };
    let low = filled().filter_map(|bucket| bucket.stats.minimum()).min()?;
    let high = filled().filter_map(|bucket| bucket.stats.maximum()).max()?;
    let scale = Scale {
        low: low.micro_degrees() as f64,
        // A constant temperature is a line in the middle.
        range: (high.micro_degrees() - low.micro_degrees()) as f64,
        step: WIDTH / series.buckets.len() as f64,
    };
    let shapes = runs(&series.buckets);
    let shapes: Vec<_> = shapes.iter().map(|run| scale.shapes(run)).collect();
    let view_box = format!("0 0 {WIDTH} {HEIGHT}");
    let label = format!(
        "{}: {low} to {high} °C in its last {}",
        sensor.sensor.as_str(),
        span.label()
    );
    Some(html! {
        svg.spark viewBox=(view_box) preserveAspectRatio="none" role="img" aria-label=(label) {
            @for (band, line) in &shapes {
                polygon points=(band) {}
                polyline points=(line) {}
            }
        }
    })
}

/// A bucket with its index.
type Point<'a> = (usize, &'a Bucket);

/// The filled buckets between pauses of the sensor. A single empty bucket may be chance. Two empty buckets in a row are a pause.
fn runs(buckets: &[Bucket]) -> Vec<Vec<Point<'_>>> {
    let mut runs: Vec<Vec<Point<'_>>> = Vec::new();
    for (at, bucket) in buckets.iter().enumerate() {
        if bucket.stats.count() == 0 {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|(last, _)| at - last <= 2) => {
                run.push((at, bucket));
            }
            _ => runs.push(vec![(at, bucket)]),
        }
    }
    runs
}

struct Scale {
    low: f64,
    range: f64,
    step: f64,
}

impl Scale {
    fn x(&self, at: usize) -> f64 {
        (at as f64 + 0.5) * self.step
    }

    fn y(&self, micro_degrees: f64) -> f64 {
        let part = if self.range > 0.0 {
            (micro_degrees - self.low) / self.range
        } else {
            0.5
        };
        HEIGHT - MARGIN - part * (HEIGHT - 2.0 * MARGIN)
    }

    /// The points of the band between minimum and maximum, and the points of the line of averages.
    fn shapes(&self, run: &[Point<'_>]) -> (String, String) {
        let height = |value: Option<crate::readings::Temperature>| {
            self.y(value.map_or(self.low, |value| value.micro_degrees() as f64))
        };
        let upper = run
            .iter()
            .map(|(at, bucket)| (self.x(*at), height(bucket.stats.maximum())));
        let lower = run.iter().rev();
        let lower = lower.map(|(at, bucket)| (self.x(*at), height(bucket.stats.minimum())));
        let band: Vec<_> = upper.chain(lower).collect();
        let mut line: Vec<_> = run
            .iter()
            .filter_map(|(at, bucket)| Some((self.x(*at), self.y(bucket.stats.average()? * 1e6))))
            .collect();
        // A line needs two ends, so a single bucket is drawn over its whole width.
        if let [(x, y)] = line[..] {
            line = vec![(x - self.step / 2.0, y), (x + self.step / 2.0, y)];
        }
        (points(&band), points(&line))
    }
}

/// Points as the text of an attribute of a shape.
fn points(points: &[(f64, f64)]) -> String {
    let points: Vec<_> = points
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    points.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::{SensorId, Stats, Temperature};

    fn stats(texts: &[&str]) -> Stats {
        texts
            .iter()
            .map(|text| text.parse::<Temperature>().unwrap())
            .collect()
    }

    fn sensor(count: u64, hours: i64) -> SensorSummary {
        let time = |micros| Timestamp::from_micros(micros).unwrap();
        SensorSummary {
            sensor: SensorId::new("<a>").unwrap(),
            stats: Stats::from_parts(count, 0, 0, 0).unwrap(),
            first: time(0),
            last: time(hours * HOUR_MICROS),
            latest: "1".parse().unwrap(),
        }
    }

    #[test]
    fn a_span_is_a_day_unless_that_were_too_many_readings() {
        let span = Span::of(&sensor(1000 * 12 + 1, 1000)).unwrap();
        assert_eq!((span.label().as_str(), span.buckets), ("24\u{a0}h", 60));
        assert_eq!(span.window.from.unwrap().micros(), 976 * HOUR_MICROS);
        let span = Span::of(&sensor(1000 * 3600, 1000)).unwrap();
        assert_eq!((span.label().as_str(), span.buckets), ("1\u{a0}h", 60));
        let span = Span::of(&sensor(10, 10)).unwrap();
        assert_eq!((span.label().as_str(), span.buckets), ("10\u{a0}h", 5));
        assert_eq!(span.window.from.unwrap().micros(), 0);
        assert_eq!(Span::of(&sensor(1, 0)), None);
    }

    #[test]
    fn a_silence_is_a_gap_and_all_stays_within_the_drawing() {
        let sensor = sensor(100, 1);
        let span = Span::of(&sensor).unwrap();
        let values: [&[&str]; 8] = [&["1"], &["2", "4"], &[], &["-5"], &[], &[], &["0"], &["1"]];
        let bucket = |texts: &&[&str]| Bucket {
            start: Timestamp::from_micros(0).unwrap(),
            stats: stats(texts),
        };
        let mut series = Series {
            from: Timestamp::from_micros(0).unwrap(),
            to: Timestamp::from_micros(1).unwrap(),
            buckets: values.iter().map(bucket).collect(),
        };
        let drawn = draw(&sensor, &span, &series).unwrap().into_string();
        assert_eq!(drawn.matches("<polyline").count(), 2, "{drawn}");
        assert!(drawn.contains("&lt;a&gt;: -5 to 4 °C in its last 1\u{a0}h"));
        assert!(drawn.contains("22.5,2.0"), "{drawn}");
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"));

        series.buckets.iter_mut().for_each(|bucket| {
            bucket.stats = stats(&["7"]);
        });
        let drawn = draw(&sensor, &span, &series).unwrap().into_string();
        assert!(drawn.contains("7.5,16.0"), "{drawn}");
        series.buckets.iter_mut().for_each(|bucket| {
            bucket.stats = Stats::EMPTY;
        });
        assert!(draw(&sensor, &span, &series).is_none());
    }
}
