//! A server in memory. The server misbehaves in a single way, or not at all.

use std::collections::BTreeMap;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use fieldstation::readings::ingest::Item;
use fieldstation::readings::{Stats, Temperature, Timestamp, Window};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::oneshot;

/// The kind of misbehavior.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehavior {
    Nothing,
    /// The first reading is acknowledged at each attempt, and never stored.
    Loses,
    /// A repeated reading counts twice.
    CountsTwice,
    /// A corrected reading keeps the first temperature.
    KeepsTheFirst,
    /// The average is the double next to the correct double.
    RoundsWrongly,
    /// The export lacks the last reading; the statistics count all readings.
    CutsTheExport,
    /// A window includes the end of the window.
    ClosesWindows,
    /// Every third request is answered 503; half of these requests are carried out.
    IsBusy,
}

type Readings = BTreeMap<Timestamp, Temperature>;

struct MisbehavingState {
    misbehavior: Misbehavior,
    requests: AtomicU64,
    /// The first reading.
    lost: Mutex<Option<(String, Timestamp)>>,
    sensors: Mutex<BTreeMap<String, (Readings, Stats)>>,
}

/// The server, on a separate thread.
pub struct MisbehavingServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MisbehavingServer {
    pub fn start(misbehavior: Misbehavior) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let state = Arc::new(MisbehavingState {
            misbehavior,
            requests: AtomicU64::new(0),
            lost: Mutex::default(),
            sensors: Mutex::default(),
        });
        let router = Router::new()
            .route("/api/temperature", put(record_reading))
            .route("/api/readings", post(record_batch).get(export))
            .route("/api/sensors/{id}", get(sensor))
            .route("/api/stats", get(stats))
            .with_state(state);
        let thread = thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(async {
                    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                    let serve = axum::serve(listener, router);
                    tokio::select! {
                        served = serve => served.unwrap(),
                        _ = stopped => {}
                    }
                });
        });
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for MisbehavingServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl MisbehavingState {
    /// Some for a request with answer 503. The value tells whether the server carries out the request nevertheless.
    fn busy(&self) -> Option<bool> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        (self.misbehavior == Misbehavior::IsBusy && number.is_multiple_of(3))
            .then_some(number.is_multiple_of(2))
    }

    /// 0 for recorded, 1 for unchanged, 2 for replaced.
    fn record(&self, text: &str) -> usize {
        let item = Item::from_json(text).unwrap();
        let (timestamp, temperature) = (item.timestamp.unwrap(), item.temperature);
        let key = (item.sensor_id.into_owned(), timestamp);
        if self.misbehavior == Misbehavior::Loses
            && *self.lost.lock().get_or_insert(key.clone()) == key
        {
            return 0;
        }
        let mut sensors = self.sensors.lock();
        let (readings, stats) = sensors.entry(key.0).or_default();
        let before = readings.get(&timestamp).copied();
        if before.is_some() && self.misbehavior == Misbehavior::KeepsTheFirst {
            return 1;
        }
        readings.insert(timestamp, temperature);
        if self.misbehavior == Misbehavior::CountsTwice {
            stats.add(temperature);
        } else {
            *stats = readings.values().copied().collect();
        }
        match before {
            None => 0,
            Some(before) if before == temperature => 1,
            Some(_) => 2,
        }
    }

    fn average(&self, stats: &Stats) -> Option<f64> {
        stats.average().map(|average| match self.misbehavior {
            Misbehavior::RoundsWrongly => average.next_up(),
            _ => average,
        })
    }
}

fn degrees(temperature: Option<Temperature>) -> serde_json::Value {
    temperature.map_or(serde_json::Value::Null, |it| {
        it.to_string().parse::<serde_json::Number>().unwrap().into()
    })
}

async fn record_reading(State(state): State<Arc<MisbehavingState>>, body: String) -> Response {
    let busy = state.busy();
    if busy != Some(false) {
        state.record(&body);
    }
    match busy {
        Some(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        None => "{}".into_response(),
    }
}

async fn record_batch(State(state): State<Arc<MisbehavingState>>, body: String) -> Response {
    let busy = state.busy();
    let mut counts = [0; 3];
    if busy != Some(false) {
        for line in body.lines() {
            counts[state.record(line)] += 1;
        }
    }
    let [recorded, unchanged, replaced] = counts;
    match busy {
        Some(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        None => json!({
            "recorded": recorded, "unchanged": unchanged, "replaced": replaced, "rejected": 0
        })
        .to_string()
        .into_response(),
    }
}

fn sensor(
    State(state): State<Arc<MisbehavingState>>,
    Path(id): Path<String>,
) -> std::future::Ready<Response> {
    let sensors = state.sensors.lock();
    let Some((readings, stats)) = sensors.get(&id) else {
        return ready(StatusCode::NOT_FOUND.into_response());
    };
    let (Some((first, _)), Some((last, latest))) =
        (readings.first_key_value(), readings.last_key_value())
    else {
        return ready(StatusCode::NOT_FOUND.into_response());
    };
    let answer = json!({
        "sensorId": id,
        "count": stats.count(),
        "minimum": degrees(stats.minimum()),
        "maximum": degrees(stats.maximum()),
        "average": state.average(stats),
        "first": first.to_string(),
        "last": last.to_string(),
        "latest": degrees(Some(*latest)),
    });
    ready(answer.to_string().into_response())
}

fn parameters(query: Option<&str>) -> (String, Window) {
    let mut id = String::new();
    let mut window = Window::ALL;
    for (name, value) in form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
        match name.as_ref() {
            "sensorId" => id = value.into_owned(),
            "from" => window.from = value.parse().ok(),
            "to" => window.to = value.parse().ok(),
            _ => {}
        }
    }
    (id, window)
}

fn stats(
    State(state): State<Arc<MisbehavingState>>,
    RawQuery(query): RawQuery,
) -> std::future::Ready<Response> {
    let (id, window) = parameters(query.as_deref());
    let sensors = state.sensors.lock();
    let stats = match sensors.get(&id) {
        None => Stats::EMPTY,
        Some((_, stats)) if window == Window::ALL => *stats,
        Some((readings, _)) => readings
            .iter()
            .filter(|(timestamp, _)| {
                let at_its_end = window.to == Some(**timestamp);
                window.contains(**timestamp)
                    || (state.misbehavior == Misbehavior::ClosesWindows && at_its_end)
            })
            .map(|(_, temperature)| *temperature)
            .collect(),
    };
    let answer = json!({
        "Maximum": degrees(stats.maximum()),
        "Minimum": degrees(stats.minimum()),
        "Average": state.average(&stats),
    });
    ready(answer.to_string().into_response())
}

fn export(
    State(state): State<Arc<MisbehavingState>>,
    RawQuery(query): RawQuery,
) -> std::future::Ready<String> {
    let (id, _) = parameters(query.as_deref());
    let mut lines: Vec<String> = state
        .sensors
        .lock()
        .get(&id)
        .map(|(readings, _)| {
            readings
                .iter()
                .map(|(timestamp, temperature)| {
                    format!(
                        "{{\"sensorId\":\"{id}\",\"timestamp\":\"{timestamp}\",\"temperature\":{temperature}}}\n"
                    )
                })
                .collect()
        })
        .unwrap_or_default();
    if state.misbehavior == Misbehavior::CutsTheExport {
        lines.pop();
    }
    ready(lines.concat())
}
