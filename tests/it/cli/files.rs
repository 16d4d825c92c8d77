//! `fieldstation upload` and `download`.

use std::fs;

use super::fieldstation;
use crate::support::{Fault, FaultProxy, Server, random_bytes};

#[test]
fn a_file_goes_up_and_comes_down() {
    let server = Server::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fo to.png");
    for size in [0, 1, 3_000_000] {
        fs::write(&path, random_bytes(size)).unwrap();
        let url = server.url();
        let upload = [
            "upload",
            "fo to.png",
            "--device",
            "a/b",
            "--url",
            &url,
            "--content-type",
            "image/png",
        ];
        let ended = fieldstation(directory.path(), &upload).with_code(0);
        assert!(ended.stdout.contains("sha256 "), "{ended:?}");
        let download = ["download", "--device", "a/b", "--url", &url];
        fieldstation(directory.path(), &download).with_code(0);
        assert!(fs::read(directory.path().join("a_b")).unwrap() == random_bytes(size));
        let names = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(names, 2, "something is left over");
    }
    let url = server.url();
    let again = [
        "upload",
        "fo to.png",
        "--device",
        "a/b",
        "--url",
        &url,
        "--new",
    ];
    fieldstation(directory.path(), &again)
        .with_code(1)
        .says("412");
    let missing = ["download", "--device", "nobody", "--url", &url];
    fieldstation(directory.path(), &missing)
        .with_code(1)
        .says("404");
    let none = ["upload", "none.bin", "--device", "x", "--url", &url];
    fieldstation(directory.path(), &none)
        .with_code(1)
        .says("none.bin");
}

#[test]
fn a_file_that_is_damaged_on_the_server_is_never_downloaded() {
    let server = Server::start();
    let directory = tempfile::tempdir().unwrap();
    let url = server.url();
    for size in [5, 1_000_000] {
        fs::write(directory.path().join("a"), random_bytes(size)).unwrap();
        let upload = ["upload", "a", "--device", "202", "--url", &url];
        fieldstation(directory.path(), &upload).with_code(0);
        // The blob of the file before is removed later.
        let blob = fs::read_dir(server.data().join("files"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| fs::metadata(path).is_ok_and(|found| found.len() == size as u64))
            .unwrap();
        let mut bytes = fs::read(&blob).unwrap();
        bytes[size / 2] ^= 1;
        fs::write(&blob, bytes).unwrap();
        let download = ["download", "--device", "202", "--url", &url];
        fieldstation(directory.path(), &download).with_code(1);
        assert!(!directory.path().join("202").exists(), "{size}");
    }
}

#[test]
fn a_download_that_breaks_off_continues() {
    let server = Server::start();
    let proxy = FaultProxy::start(server.address());
    let directory = tempfile::tempdir().unwrap();
    let bytes = random_bytes(3_000_000);
    fs::write(directory.path().join("f"), &bytes).unwrap();
    let upload = ["upload", "f", "--device", "d", "--url", &server.url()];
    fieldstation(directory.path(), &upload).with_code(0);
    // Every connection ends after a megabyte, so the download takes several.
    proxy.set(Fault::CutAfter(1_000_000));
    let url = format!("http://{}", proxy.address());
    let download = ["download", "--device", "d", "--output", "g", "--url", &url];
    fieldstation(directory.path(), &download).with_code(0);
    assert!(fs::read(directory.path().join("g")).unwrap() == bytes);
    // The next run continues the partial file of the earlier run, and replaces a partial file with other bytes.
    let tag = {
        proxy.set(Fault::CutAfter(200));
        fieldstation(
            directory.path(),
            &["download", "--device", "d", "--output", "h", "--url", &url],
        )
        .with_code(1);
        proxy.set(Fault::None);
        let mut names = fs::read_dir(directory.path()).unwrap();
        names.find_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.ends_with(".part").then_some(name)
        })
    };
    if let Some(part) = tag {
        fs::write(directory.path().join(part), &bytes[..2_000_000]).unwrap();
    }
    let download = ["download", "--device", "d", "--output", "h", "--url", &url];
    let ended = fieldstation(directory.path(), &download).with_code(0);
    assert!(
        fs::read(directory.path().join("h")).unwrap() == bytes,
        "{ended:?}"
    );
}
