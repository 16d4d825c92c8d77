//! The requests of clients of two older applications: the same answers, and the different answers.
//! docs/how-to/ has a page for each application, with the same list.

use fieldstation::readings::Timestamp;
use serde_json::json;

use crate::support::{Answer, Client};

const RECORDED: &str = r#"{"message":"Temperature reading recorded successfully"}"#;
const NOTHING: &str = r#"{"Maximum":null,"Minimum":null,"Average":null}"#;
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// The list of an application, on each backend.
macro_rules! on_both_backends {
    ($($list:ident)*) => {
        $(mod $list {
            #[tokio::test]
            async fn on_the_embedded_store() {
                super::$list(&crate::support::Server::start().client()).await;
            }

            #[cfg(feature = "cloud")]
            #[tokio::test]
            async fn on_dynamodb() {
                let dynamodb = crate::support::DynamoServer::start();
                let url = dynamodb.url();
                let here = std::path::Path::new(".");
                let made = crate::support::run(here, &["dynamodb", "create-tables", "--readings", &url]);
                assert_eq!(made.code, Some(0), "{}", made.output);
                let server = crate::support::Server::with_args(&["--readings", &url]);
                super::$list(&server.client()).await;
            }
        })*
    };
}

on_both_backends! { telemetry_app temperature_app }

/// Asserts that `PUT /api/temperature` accepts a request.
async fn put(client: &Client, query: &str, body: Option<(&str, &str)>) {
    let request = client.request("PUT", &format!("/api/temperature{query}"));
    let request = match body {
        Some((content_type, body)) => request
            .header("content-type", content_type)
            .body(body.to_owned()),
        None => request,
    };
    let answer = Answer::to(request).await.with_status(200);
    assert_eq!(answer.text(), RECORDED, "{query} {body:?}");
    assert_eq!(answer.header("content-type"), Some(JSON));
}

/// The application with `sensorId` and `timestamp`. The table of this application has `sensor_id`.
async fn telemetry_app(client: &Client) {
    let hello = client.get("/api").await.with_status(200);
    assert_eq!(hello.text(), r#"{"message":"Hello!"}"#);

    // The older application answers zeros. Zeros are temperatures too.
    let stats = client.get("/api/stats").await.with_status(200);
    assert_eq!(stats.text(), NOTHING);

    let usual = r#"{"sensorId":"202","temperature":18,"timestamp":"2021-11-26T18:10:00"}"#;
    put(client, "", Some((JSON, usual))).await;
    let with_offset =
        r#"{"sensorId":"202","temperature":"-6","timestamp":"2021-11-26T18:11:00+00:00"}"#;
    put(client, "", Some((JSON, with_offset))).await;
    let as_stored =
        r#"{"sensor_id":"203","temperature":28,"timestamp":"2021-11-26 18:10:00+00:00"}"#;
    put(client, "", Some((JSON, as_stored))).await;
    let basic = r#"{"sensorId":"203","temperature":19.5,"timestamp":"20211126T181500"}"#;
    put(client, "", Some((JSON, basic))).await;
    let query = "?sensorId=204&temperature=7&timestamp=20211126T181500";
    put(client, query, None).await;
    let query = "?sensorId=204&temperature=7.25&timestamp=2021-11-26T19:16:00+01:00";
    put(client, query, None).await;
    let form = "sensorId=204&temperature=8&timestamp=2021-11-26T18:17:00";
    put(client, "", Some((FORM, form))).await;

    let line = |sensor: &str, time: &str, temperature: &str| {
        format!(r#"{{"sensorId":"{sensor}","timestamp":"{time}","temperature":{temperature}}}"#)
            + "\n"
    };
    let stored = [
        line("202", "2021-11-26T18:10:00Z", "18"),
        line("202", "2021-11-26T18:11:00Z", "-6"),
        line("203", "2021-11-26T18:10:00Z", "28"),
        line("203", "2021-11-26T18:15:00Z", "19.5"),
        line("204", "2021-11-26T18:15:00Z", "7"),
        line("204", "2021-11-26T18:16:00Z", "7.25"),
        line("204", "2021-11-26T18:17:00Z", "8"),
    ];
    assert_eq!(client.everything().await, stored.concat());

    // The older application answers the whole number 12; this server the double nearest to 81.75 / 7.
    let stats = client.get("/api/stats").await.with_status(200);
    assert_eq!(
        stats.text(),
        r#"{"Maximum":28,"Minimum":-6,"Average":11.678571428571429}"#
    );

    // The older application answers 400 with a message for each field.
    for (body, field) in [
        (
            r#"{"temperature":18,"timestamp":"2021-11-26T18:10:00"}"#,
            "sensorId",
        ),
        (
            r#"{"sensorId":"202","timestamp":"2021-11-26T18:10:00"}"#,
            "temperature",
        ),
        (r#"{"sensorId":"202","temperature":"warm"}"#, "temperature"),
        (
            r#"{"sensorId":"202","temperature":1,"timestamp":"yesterday"}"#,
            "timestamp",
        ),
    ] {
        let answer = client.put_as(JSON, body).await;
        let problem = answer.problem(422, "invalid-reading");
        assert_eq!(problem["field"], field, "{problem}");
    }
    assert_eq!(client.everything().await, stored.concat());

    // The older application answers 400; here the time of receipt is the timestamp.
    let before = Timestamp::now();
    put(
        client,
        "",
        Some((JSON, r#"{"sensorId":"205","temperature":18}"#)),
    )
    .await;
    let summary = client.get("/api/sensors/205").await.with_status(200).json();
    let last: Timestamp = summary["last"].as_str().unwrap().parse().unwrap();
    assert!((before..=Timestamp::now()).contains(&last), "{last}");
}

/// The application with `sensorID` and `time`. This application keeps texts.
async fn temperature_app(client: &Client) {
    // The older application answers the text `No data inserted yet!`.
    let stats = client.get("/api/stats").await.with_status(200);
    assert_eq!(stats.text(), NOTHING);
    assert_eq!(stats.header("content-type"), Some(JSON));

    // The older application answers the text `Ok`.
    let usual = r#"{"sensorID":"1","temperature":"21.5","time":"2012-01-02 03:04:05"}"#;
    put(client, "", Some((JSON, usual))).await;
    let number = r#"{"sensorID":2,"temperature":22,"time":"2012-01-02 03:04:06"}"#;
    put(client, "", Some((JSON, number))).await;
    let one_digit = r#"{"sensorID":"1","temperature":"20.25","time":"2012-1-5 9:05:00"}"#;
    put(client, "", Some((JSON, one_digit))).await;
    let form = "sensorID=1&temperature=-3&time=2012-1-5 10:05:00";
    put(client, "", Some((FORM, form))).await;

    let sensors = client.get("/api/sensors").await.with_status(200).json();
    let counts: Vec<_> = sensors["sensors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sensor| (sensor["sensorId"].clone(), sensor["count"].clone()))
        .collect();
    assert_eq!(counts, [(json!("1"), json!(3)), (json!("2"), json!(1))]);
    let readings = client.get("/api/sensors/1/readings").await.with_status(200);
    assert_eq!(
        readings.json()["readings"],
        json!([
            {"timestamp": "2012-01-02T03:04:05Z", "temperature": 21.5},
            {"timestamp": "2012-01-05T09:05:00Z", "temperature": 20.25},
            {"timestamp": "2012-01-05T10:05:00Z", "temperature": -3},
        ])
    );
    let stats = client.get("/api/stats").await.with_status(200);
    assert_eq!(
        stats.text(),
        r#"{"Maximum":22,"Minimum":-3,"Average":15.1875}"#
    );

    // In the older application all sensors share a single reading for a timestamp, so the second reading replaces the first.
    let other = r#"{"sensorID":"3","temperature":"30","time":"2012-01-02 03:04:05"}"#;
    put(client, "", Some((JSON, other))).await;
    assert_eq!(client.everything().await.lines().count(), 5);

    // The older application accepts any text as a time. An invalid or ambiguous time is refused here, with a correct example.
    for (time, words) in [
        ("now", "2026-11-20T13:00:00Z"),
        ("2012-1-5 9:5:00", "one digit for the minute"),
        ("5/1/2012 9:05", "2026-11-20T13:00:00Z"),
        ("2012-13-01 00:00:00", "no such month"),
    ] {
        let body = json!({"sensorID": "1", "temperature": "1", "time": time});
        let answer = client.put_as(JSON, body.to_string()).await;
        answer.problem_saying(422, "invalid-reading", &["timestamp", time, words]);
    }
    assert_eq!(client.everything().await.lines().count(), 5);
}
