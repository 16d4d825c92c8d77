//! The OpenAPI description of the server. Checks answers against the description.

use serde_json::{Value, json};

use super::{Answer, BOUNDARY, Client};

/// The possible methods of a path.
pub const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// The server's `openapi.json`.
pub struct Description(pub Value);

/// A method of a path.
#[derive(Clone, Debug)]
pub struct Operation {
    pub method: String,
    pub path: String,
    pub value: Value,
}

/// A request made from the examples of the description.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Option<(String, Vec<u8>)>,
}

impl Description {
    pub async fn of(client: &Client) -> Self {
        let answer = client.get("/openapi.json").await.with_status(200);
        Self(answer.json())
    }

    pub fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            None => value,
            Some(pointer) => self.0.pointer(pointer.strip_prefix('#').unwrap()).unwrap(),
        }
    }

    /// The described paths, each with the methods in upper case.
    pub fn paths(&self) -> Vec<(String, Vec<String>)> {
        let paths = self.0["paths"].as_object().unwrap();
        let methods = |item: &Value| {
            let methods = METHODS.iter().filter(|method| item.get(**method).is_some());
            methods.map(|method| method.to_uppercase()).collect()
        };
        let paths = paths.iter();
        paths
            .map(|(path, item)| (path.clone(), methods(item)))
            .collect()
    }

    pub fn operations(&self) -> Vec<Operation> {
        let paths = self.paths().into_iter();
        let all = paths.flat_map(|(path, methods)| {
            methods
                .into_iter()
                .map(move |method| (path.clone(), method))
        });
        all.map(|(path, method)| Operation {
            value: self.0["paths"][&path][method.to_lowercase()].clone(),
            method,
            path,
        })
        .collect()
    }

    pub fn parameters<'a>(&'a self, operation: &'a Operation) -> Vec<&'a Value> {
        let parameters = operation.value["parameters"]
            .as_array()
            .into_iter()
            .flatten();
        parameters.map(|parameter| self.follow(parameter)).collect()
    }

    /// Makes a request for each example of a body, and a request for each example of a parameter.
    pub fn example_requests(&self, operation: &Operation) -> Vec<Request> {
        let media = operation.value["requestBody"]["content"].as_object();
        let bodies = media.into_iter().flatten().flat_map(|(media, content)| {
            let examples = self.examples(content).into_iter();
            examples.map(move |example| Some(encode(media, content, &example)))
        });
        let mut bodies: Vec<_> = bodies.collect();
        if bodies.is_empty() {
            bodies.push(None);
        }
        let plain = |body: &Option<(String, Vec<u8>)>| Request {
            body: body.clone(),
            ..Request::default()
        };
        let mut requests: Vec<_> = bodies.iter().map(plain).collect();
        let mut every_parameter_of_the_query = plain(&bodies[0]);
        for parameter in self.parameters(operation) {
            let Some(example) = parameter.get("example") else {
                continue;
            };
            let name = parameter["name"].as_str().unwrap().to_owned();
            let pair = (name, text_of(example));
            let mut request = plain(&bodies[0]);
            match parameter["in"].as_str().unwrap() {
                "query" => {
                    every_parameter_of_the_query.query.push(pair.clone());
                    request.query.push(pair);
                }
                "header" => request.headers.push(pair),
                _ => continue,
            }
            requests.push(request);
        }
        requests.push(every_parameter_of_the_query);
        requests
    }

    /// The examples of an object of the description.
    pub fn examples(&self, value: &Value) -> Vec<Value> {
        let several = value["examples"].as_object().into_iter().flatten();
        let several = several.map(|(_, example)| self.follow(example)["value"].clone());
        value
            .get("example")
            .cloned()
            .into_iter()
            .chain(several)
            .collect()
    }

    /// Asserts that a value matches a schema of the description.
    #[track_caller]
    pub fn assert_valid(&self, schema: &Value, value: &Value, what: &str) {
        let mut schema = schema.clone();
        schema["components"] = json!({ "schemas": self.0["components"]["schemas"] });
        let options = jsonschema::options().should_validate_formats(true);
        let validator = options.build(&schema).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{what}: {errors:?} in {value}");
    }

    /// Asserts that the description of the operation has this answer: status, type, headers and body.
    #[track_caller]
    pub fn assert_described(&self, operation: &Operation, answer: &Answer, request: &str) {
        let what = format!("{} {}: {request}", operation.method, operation.path);
        let response = &operation.value["responses"][answer.status.to_string()];
        assert!(
            response.is_object(),
            "{what} is answered {}, which is not described: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        let response = self.follow(response);
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let schema = &self.follow(header)["schema"];
            match answer.header(name) {
                None => assert!(
                    answer.status >= 400,
                    "{what}: {} without {name}",
                    answer.status
                ),
                Some(value) if schema["type"] == "integer" => {
                    let value = value.parse::<u64>().unwrap();
                    self.assert_valid(schema, &json!(value), &what);
                }
                Some(value) => self.assert_valid(schema, &json!(value), &what),
            }
        }
        let content_type = answer.header("content-type");
        let Some(content) = response["content"].as_object() else {
            assert_eq!(content_type, None, "{what}");
            assert!(answer.body.is_empty(), "{what}");
            return;
        };
        let essence = content_type.unwrap().split(';').next().unwrap();
        let described = content.get(essence).or_else(|| content.get("*/*"));
        let described = described.unwrap_or_else(|| panic!("{what}: {essence} is not described"));
        let is_json = ["application/json", "application/problem+json"].contains(&essence);
        let body = if is_json {
            answer.json()
        } else {
            Value::String(answer.text())
        };
        self.assert_valid(&described["schema"], &body, &what);
        if essence == "application/problem+json" {
            let slug = body["type"].as_str().unwrap().rsplit('/').next().unwrap();
            let known = described["examples"].get(slug).is_some();
            assert!(known, "{what}: the problem {slug} is not described");
        }
    }
}

/// An example as the bytes of a body, with the content type.
fn encode(media: &str, content: &Value, example: &Value) -> (String, Vec<u8>) {
    let fields = || example.as_object().unwrap().iter();
    match media {
        "application/x-www-form-urlencoded" => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(fields().map(|(name, value)| (name, text_of(value))));
            (media.to_owned(), form.finish().into_bytes())
        }
        "multipart/form-data" => {
            let mut body = String::new();
            for (name, value) in fields() {
                let kind = content["encoding"][name]["contentType"].as_str();
                let file =
                    kind.map(|kind| format!("; filename=\"photo.png\"\r\nContent-Type: {kind}"));
                let (file, value) = (file.unwrap_or_default(), text_of(value));
                body.push_str(&format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n"
                ));
            }
            body.push_str(&format!("--{BOUNDARY}--\r\n"));
            (format!("{media}; boundary={BOUNDARY}"), body.into_bytes())
        }
        "*/*" => (
            "application/octet-stream".to_owned(),
            text_of(example).into_bytes(),
        ),
        media => (media.to_owned(), text_of(example).into_bytes()),
    }
}

/// A string value without quotes, or any other value as JSON.
pub fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
