use fieldstation::{
    data_directory::DataDirectory,
    readings::{embedded::*, *},
};
use std::{sync::Arc, time::Instant};
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<_> = s
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .map(|x| x.to_string())
        .collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}
fn main() {
    let conns: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let secs: f64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let threads: usize = std::env::args()
        .nth(3)
        .unwrap_or("2".into())
        .parse()
        .unwrap();
    let dir = std::path::PathBuf::from("/tmp/ingest-bench");
    let _ = std::fs::remove_dir_all(&dir);
    let rt = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap();
    let store = Arc::new(
        EmbeddedStore::open(
            Arc::new(DataDirectory::open(&dir).unwrap()),
            EmbeddedOptions::default(),
        )
        .unwrap(),
    );
    let t = Instant::now();
    let c = cpu();
    let n: usize = rt.block_on(async {
        let mut hs = vec![];
        for k in 0..conns {
            let st = store.clone();
            hs.push(tokio::spawn(async move {
                let mut n = 0usize;
                let name = format!("s{k}");
                while t.elapsed().as_secs_f64() < secs {
                    let b = Batch::of_one(
                        SensorId::new(&name).unwrap(),
                        Point {
                            timestamp: Timestamp::from_micros(
                                1_760_000_000_000_000 + n as i64 * 1_000_000,
                            )
                            .unwrap(),
                            temperature: Temperature::from_micro_degrees(
                                20_000_000 + (n as i64 % 100) * 10_000,
                            )
                            .unwrap(),
                        },
                    );
                    st.record(b, RecordMode::AllOrNothing).await.unwrap();
                    n += 1;
                }
                n
            }));
        }
        let mut n = 0;
        for h in hs {
            n += h.await.unwrap();
        }
        n
    });
    let e = t.elapsed().as_secs_f64();
    let c1 = cpu() - c;
    let seq = 1;
    println!(
        "{conns} conns: {:.0}/s cpu {:.2} us/op, {:.1} per commit",
        n as f64 / e,
        c1 / n as f64 * 1e6,
        n as f64 / seq as f64
    );
}
