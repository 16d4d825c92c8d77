//! A disk fills up repeatedly, with restarts in between: no acknowledged write is lost.
//!
//! `FIELDSTATION_DISK_CYCLES` sets the number of cycles (20 by default). Each run prints a seed. `FIELDSTATION_CRASH_SEED` repeats the
//! run with this seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{add_todo, greet, remove};
use crate::support::{
    Answer, Client, DISK_BYTES, Random, Refusal, Server, SmallDisk, lines, random_bytes, setting,
};

/// The acknowledged state.
#[derive(Default)]
struct Acknowledged {
    /// The number of readings of each sensor.
    readings: BTreeMap<String, usize>,
    /// The length of each device's file.
    files: BTreeMap<String, usize>,
    /// Titles by path.
    todos: BTreeMap<String, String>,
    word: Option<String>,
}

impl Acknowledged {
    /// Writes until a write is refused for lack of room, at most `rounds` times.
    async fn write(&mut self, client: &Client, random: &mut Random, cycle: u64, rounds: u64) {
        for round in 0..rounds {
            let name = format!("c{cycle}-r{round}");
            let count = 1 + random.below(3_000) as usize;
            let answer = client.store_or_not(lines(&name, count)).await;
            if taken(&answer, 200) {
                self.readings.insert(name.clone(), count);
            }
            let bytes = 1 + random.below(700_000) as usize;
            let answer = client.send_file(&name, random_bytes(bytes)).await;
            if taken(&answer, 200) {
                self.files.insert(name.clone(), bytes);
            }
            let answer = add_todo(client, &name).await;
            if taken(&answer, 201) {
                let path = answer.header("location").unwrap().to_owned();
                self.todos.insert(path, name.clone());
            }
            let answer = greet(client, &name).await;
            if taken(&answer, 200) {
                self.word = Some(name);
            }
            if answer.status != 200 {
                return;
            }
        }
    }

    /// Asserts that the server stores exactly the acknowledged state.
    async fn assert_is_there(&self, client: &Client) {
        let export = client.everything().await;
        let mut readings: BTreeMap<String, usize> = BTreeMap::new();
        for line in export.lines() {
            let reading: serde_json::Value = serde_json::from_str(line).unwrap();
            let sensor = reading["sensorId"].as_str().unwrap().to_owned();
            *readings.entry(sensor).or_default() += 1;
        }
        assert_eq!(readings, self.readings);
        let devices: Vec<_> = self.files.keys().cloned().collect();
        assert_eq!(client.devices().await, devices);
        for (device, bytes) in &self.files {
            let content = client.get(&format!("/api/devices/{device}/content")).await;
            assert!(
                content.with_status(200).body == random_bytes(*bytes),
                "{device}"
            );
        }
        for (path, title) in &self.todos {
            let todo = client.get(path).await.with_status(200).json();
            assert_eq!(todo["title"], title.as_str());
        }
        let todos = client
            .get("/api/todos?limit=1000")
            .await
            .with_status(200)
            .json();
        assert_eq!(todos["todos"].as_array().unwrap().len(), self.todos.len());
        if let Some(word) = &self.word {
            assert_eq!(&client.get("/hello").await.text(), word);
        }
    }

    /// Removes a file and a todo.
    async fn remove_some(&mut self, client: &Client) {
        if let Some((device, _)) = self.files.pop_first() {
            let answer = remove(client, &format!("/api/devices/{device}")).await;
            assert!(answer.status < 300, "{}", answer.text());
        }
        if let Some((path, _)) = self.todos.pop_first() {
            remove(client, &path).await.with_status(204);
        }
    }
}

/// Whether the server accepted a write. Panics if the server refused the write for another reason than lack of room.
#[track_caller]
fn taken(answer: &Answer, status: u16) -> bool {
    if answer.status == status {
        return true;
    }
    assert_eq!(answer.status, 507, "{}", answer.text());
    false
}

async fn nothing_is_lost_by_full_disks(refusal: Refusal) {
    let seed = setting("FIELDSTATION_CRASH_SEED").unwrap_or_else(Random::any_seed);
    println!("FIELDSTATION_CRASH_SEED={seed}");
    let mut random = Random::new(seed);
    let cycles = setting("FIELDSTATION_DISK_CYCLES").unwrap_or(20).max(1);
    let disk = Arc::new(SmallDisk::new(refusal));
    let mut acknowledged = Acknowledged::default();
    let mut server = Server::try_on_small(&disk, &[]).unwrap();
    server.client().until_readiness(200).await;
    for cycle in 0..cycles {
        let client = server.client();
        acknowledged.write(&client, &mut random, cycle, 2).await;
        // Leaves a little room. The disk becomes full in the middle of a write.
        disk.fill(random.below(1 << 20) / 4096 * 4096);
        acknowledged
            .write(&client, &mut random, cycle + 1_000_000, 20)
            .await;
        disk.fill(0);
        if random.one_in(2) {
            server.kill9();
        } else {
            let ended = server.stop();
            assert_eq!(ended.code, Some(0), "{}", ended.output);
        }
        // A stopping server frees some room.
        disk.fill(0);
        server = Server::try_on_small(&disk, &[]).unwrap();
        let client = server.client();
        acknowledged.assert_is_there(&client).await;
        acknowledged.remove_some(&client).await;
        disk.make_room();
        client.until_readiness(200).await;
        println!("cycle {} of {cycles}", cycle + 1);
        // The disk is small, so older data makes room for new data.
        let used: usize = acknowledged.files.values().sum();
        if used as u64 > DISK_BYTES / 4 {
            while !acknowledged.files.is_empty() {
                acknowledged.remove_some(&client).await;
            }
        }
    }
    assert!(!acknowledged.readings.is_empty());
    assert_eq!(server.stop().code, Some(0));
    let report = fieldstation::readings::embedded::verify(disk.data(), &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "{report:#?}");
}

#[tokio::test]
async fn nothing_is_lost_by_disks_that_are_full_and_servers_that_end_then() {
    nothing_is_lost_by_full_disks(Refusal::Full).await;
}

#[tokio::test]
async fn nothing_is_lost_by_quotas_that_are_used_up_and_servers_that_end_then() {
    nothing_is_lost_by_full_disks(Refusal::Quota).await;
}
