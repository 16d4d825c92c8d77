//! Multipart forms: the parts do not depend on how the body is cut, no part contains its own boundary, and a form written from
//! parsed data reads back.
#![no_main]

use fieldstation::http::MediaType;
use fieldstation::http::multipart::fuzzing::parts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &[u8], u8)| {
    let (content_type, body, piece_bytes) = input;
    let boundary = MediaType::from(content_type).boundary();
    let boundary = boundary.unwrap_or_else(|| "X".to_owned());
    let whole = parts(&boundary, body, body.len());
    assert_eq!(parts(&boundary, body, usize::from(piece_bytes)), whole);
    let Some((found, _)) = whole else {
        return;
    };
    let delimiter = format!("\r\n--{boundary}");
    let mut form = Vec::new();
    for (_, _, data) in &found {
        let holds = data
            .windows(delimiter.len())
            .any(|at| at == delimiter.as_bytes());
        assert!(!holds, "a part that goes on behind its end");
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n");
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(data);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(format!("--{boundary}--").as_bytes());
    let (again, is_complete) = parts(&boundary, &form, 7).expect("a form");
    assert!(is_complete);
    assert!(again.iter().all(|part| part.0.as_deref() == Some("a")));
    let data =
        |parts: Vec<(_, _, Vec<u8>)>| parts.into_iter().map(|part| part.2).collect::<Vec<_>>();
    assert_eq!(data(again), data(found));
});
