//! A server in memory that answers right, or lies in one way.

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

/// What is wrong with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    Nothing,
    /// The first reading is acknowledged and not stored, however often it is sent.
    Loses,
    /// A reading that is sent again counts again.
    CountsTwice,
    /// A reading that is sent with another temperature keeps the first.
    KeepsTheFirst,
    /// The average is the double next to the right one.
    RoundsWrongly,
    /// The export lacks the last reading, though the statistics count it.
    CutsTheExport,
    /// The end of a window is taken as a part of it.
    ClosesWindows,
    /// Every third request is answered 503, half of those after it was carried out.
    IsBusy,
}

type Readings = BTreeMap<Timestamp, Temperature>;

struct Liar {
    lie: Lie,
    requests: AtomicU64,
    /// The first reading.
    lost: Mutex<Option<(String, Timestamp)>>,
    sensors: Mutex<BTreeMap<String, (Readings, Stats)>>,
}

/// A server on a thread of its own.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(lie: Lie) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let liar = Arc::new(Liar {
            lie,
            requests: AtomicU64::new(0),
            lost: Mutex::default(),
            sensors: Mutex::default(),
        });
        let router = Router::new()
            .route("/api/temperature", put(record_one))
            .route("/api/readings", post(record_many).get(export))
            .route("/api/sensors/{id}", get(sensor))
            .route("/api/stats", get(stats))
            .with_state(liar);
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

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Liar {
    /// Whether the request is answered 503, and whether it is carried out all the same.
    fn busy(&self) -> Option<bool> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        (self.lie == Lie::IsBusy && number.is_multiple_of(3)).then_some(number.is_multiple_of(2))
    }

    /// 0 for recorded, 1 for unchanged, 2 for replaced.
    fn record(&self, text: &str) -> usize {
        let item = Item::from_json(text).unwrap();
        let (timestamp, temperature) = (item.timestamp.unwrap(), item.temperature);
        let key = (item.sensor_id.into_owned(), timestamp);
        if self.lie == Lie::Loses && *self.lost.lock().get_or_insert(key.clone()) == key {
            return 0;
        }
        let mut sensors = self.sensors.lock();
        let (readings, stats) = sensors.entry(key.0).or_default();
        let before = readings.get(&timestamp).copied();
        if before.is_some() && self.lie == Lie::KeepsTheFirst {
            return 1;
        }
        readings.insert(timestamp, temperature);
        if self.lie == Lie::CountsTwice {
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
        stats.average().map(|average| match self.lie {
            Lie::RoundsWrongly => average.next_up(),
            _ => average,
        })
    }
}

fn degrees(temperature: Option<Temperature>) -> serde_json::Value {
    temperature.map_or(serde_json::Value::Null, |it| {
        it.to_string().parse::<serde_json::Number>().unwrap().into()
    })
}

async fn record_one(State(liar): State<Arc<Liar>>, body: String) -> Response {
    let busy = liar.busy();
    if busy != Some(false) {
        liar.record(&body);
    }
    match busy {
        Some(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        None => "{}".into_response(),
    }
}

async fn record_many(State(liar): State<Arc<Liar>>, body: String) -> Response {
    let busy = liar.busy();
    let mut counts = [0; 3];
    if busy != Some(false) {
        for line in body.lines() {
            counts[liar.record(line)] += 1;
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

fn sensor(State(liar): State<Arc<Liar>>, Path(id): Path<String>) -> std::future::Ready<Response> {
    let sensors = liar.sensors.lock();
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
        "average": liar.average(stats),
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

fn stats(State(liar): State<Arc<Liar>>, RawQuery(query): RawQuery) -> std::future::Ready<Response> {
    let (id, window) = parameters(query.as_deref());
    let sensors = liar.sensors.lock();
    let stats = match sensors.get(&id) {
        None => Stats::EMPTY,
        Some((_, stats)) if window == Window::ALL => *stats,
        Some((readings, _)) => readings
            .iter()
            .filter(|(timestamp, _)| {
                let at_its_end = window.to == Some(**timestamp);
                window.contains(**timestamp) || (liar.lie == Lie::ClosesWindows && at_its_end)
            })
            .map(|(_, temperature)| *temperature)
            .collect(),
    };
    let answer = json!({
        "Maximum": degrees(stats.maximum()),
        "Minimum": degrees(stats.minimum()),
        "Average": liar.average(&stats),
    });
    ready(answer.to_string().into_response())
}

fn export(State(liar): State<Arc<Liar>>, RawQuery(query): RawQuery) -> std::future::Ready<String> {
    let (id, _) = parameters(query.as_deref());
    let mut lines: Vec<String> = liar
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
    if liar.lie == Lie::CutsTheExport {
        lines.pop();
    }
    ready(lines.concat())
}
