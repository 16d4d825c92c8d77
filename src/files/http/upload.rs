//! `PUT /api/devices/{id}`: the file is the field `file` of a form, or the whole body.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use http_body::Body as _;

use super::digester::{Batches, Digester};
use super::digests::{Digests, ExpectedDigests};
use super::receive::{Received, Receiver, too_large};
use super::{FileRoutes, conditional, device_id};
use crate::files::{ContentType, DeviceId, FileInfo, FileName, Publication};
use crate::http::body::Chunks;
use crate::http::extract::{PathPart, RawQuery, shortened};
use crate::http::json::{self, write_string};
use crate::http::media_type::{MULTIPART_FORM, MediaType};
use crate::http::multipart::{MultipartEvent, MultipartParser, PartHead};
use crate::http::{ContentEncoding, Problem, ProblemKind, etag};

/// The name of the form field with the file.
const FIELD: &str = "file";

/// The most bytes of a form beside the file: heads, other fields, and text around the parts.
const OTHER_BYTES_MAX: u64 = 1 << 20;

/// The longest check of a condition before the file is received. The client waits for this check.
const EARLY_CHECK_MAX: Duration = Duration::from_secs(1);

/// Stores a device's file, and replaces the file before.
pub(super) async fn upload(
    State(routes): State<Arc<FileRoutes>>,
    PathPart(id): PathPart,
    query: RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    query.parse(&[])?;
    let device = device_id(&id)?;
    let (head, body) = request.into_parts();
    let kind = BodyKind::of(&head.headers)?;
    let expected_digests = ExpectedDigests::of(&head.headers)?;
    let condition = conditional::of_change(&head.headers)?;
    let bytes_max = routes.limits.upload_bytes_max;
    let other_bytes_max = match kind {
        BodyKind::Form(_) => OTHER_BYTES_MAX,
        BodyKind::File(_) => 0,
    };
    if body.size_hint().lower() > bytes_max.saturating_add(other_bytes_max) {
        return Err(too_large(bytes_max));
    }
    let _transfer = routes.transfer()?;
    if !condition.is_empty() {
        // The store checks the condition again when it publishes the file. This early check can only save a transfer, so the server does
        // not wait long for a slow store.
        let checking = routes.store.info(&device);
        if let Ok(current) = tokio::time::timeout(EARLY_CHECK_MAX, checking).await
            && !condition.holds(current?.map(|info| info.tag()).as_deref())
        {
            return Err(conditional::refused());
        }
    }
    let upload = routes.store.begin(&device).await?;
    let mut receiver = Receiver::new(upload, &expected_digests, bytes_max);
    let mut body = Chunks::new(body, routes.limits.body_idle);
    let received = match kind {
        BodyKind::File(content_type) => receive_file(&mut body, &mut receiver)
            .await
            .and_then(|()| FileMetadata::of_body(content_type, &head.headers)),
        BodyKind::Form(boundary) => {
            receive_form(&mut body, &mut receiver, &boundary, &expected_digests).await
        }
    };
    let metadata = match received {
        Ok(metadata) => metadata,
        Err(problem) => {
            receiver.abort().await;
            return Err(problem);
        }
    };
    let received = match receiver.complete().await {
        Ok(received) => received,
        Err((receiver, problem)) => {
            receiver.abort().await;
            return Err(problem);
        }
    };
    if let Err(problem) = metadata.check(&expected_digests, &received) {
        received.abort().await;
        return Err(problem);
    }
    let published = received
        .publish(metadata.content_type, metadata.name, condition)
        .await?;
    match published {
        Publication::Stored(info) => Ok(stored(&device, &info)),
        Publication::Refused => Err(conditional::refused()),
    }
}

/// The answer: the message that existing clients read, and the entity tag for the next condition.
fn stored(device: &DeviceId, info: &FileInfo) -> Response {
    let mut out = b"{\"message\":".to_vec();
    let message = format!("File uploaded for Device ID - {device}");
    write_string(&mut out, &message);
    out.push(b'}');
    let mut response = json::answer(out);
    let headers = response.headers_mut();
    if let Some(tag) = etag::header_value(&info.tag()) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// The place of the file in the body.
enum BodyKind {
    /// The body is the file, of this type.
    File(ContentType),
    /// The file is a field of a form with this boundary.
    Form(String),
}

impl BodyKind {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        ContentEncoding::require_identity(
            headers,
            "a file is stored as it is sent: send it without Content-Encoding, and a compressed file as the file it is",
        )?;
        let Some(media_type) = MediaType::of_body(headers) else {
            return Ok(Self::File(ContentType::default()));
        };
        if media_type.is(MULTIPART_FORM) {
            return media_type.boundary().map(Self::Form).ok_or_else(|| {
                Problem::new(
                    ProblemKind::UnreadableBody,
                    "the content type multipart/form-data names no boundary, or none that RFC 2046 allows",
                )
            });
        }
        match ContentType::new(media_type.as_str()) {
            Some(content_type) if !media_type.is_multipart() => Ok(Self::File(content_type)),
            _ => Err(Problem::new(
                ProblemKind::UnsupportedMediaType,
                format!(
                    "the content type `{}` is not understood: send multipart/form-data with the field {FIELD}, or the bytes of \
                     the file with its own type, such as image/png",
                    shortened(media_type.as_str())
                ),
            )),
        }
    }
}

/// The statements of a request about the file.
struct FileMetadata {
    content_type: ContentType,
    name: Option<FileName>,
    /// The digests of the whole form, if the request names digests.
    form: Option<Digests>,
}

impl FileMetadata {
    /// The metadata of a body that is the file. A header may name the file.
    fn of_body(content_type: ContentType, headers: &HeaderMap) -> Result<Self, Problem> {
        let unreadable = || {
            Problem::new(
                ProblemKind::InvalidParameter,
                "the header Content-Disposition is not like attachment; filename=\"photo.png\"",
            )
        };
        let name = match headers.get(header::CONTENT_DISPOSITION) {
            None => None,
            Some(value) => {
                let text = std::str::from_utf8(value.as_bytes()).map_err(|_| unreadable())?;
                let head = PartHead::parse(&format!("content-disposition: {text}"));
                file_name(head.ok_or_else(unreadable)?.file_name.as_deref())?
            }
        };
        Ok(Self {
            content_type,
            name,
            form: None,
        })
    }

    /// Compares the expected digests. RFC 9530 defines the digest of the form; people can calculate the digest of the file. Each of the two
    /// digests proves that the file is complete.
    fn check(
        &self,
        expected_digests: &ExpectedDigests,
        received: &Received,
    ) -> Result<(), Problem> {
        match &self.form {
            Some(form) => expected_digests.check(&[&received.digests, form]),
            None => expected_digests.check(&[&received.digests]),
        }
    }
}

async fn receive_file(body: &mut Chunks, receiver: &mut Receiver) -> Result<(), Problem> {
    while let Some(piece) = body.next().await? {
        receiver.push(piece).await?;
    }
    Ok(())
}

async fn receive_form(
    body: &mut Chunks,
    receiver: &mut Receiver,
    boundary: &str,
    expected_digests: &ExpectedDigests,
) -> Result<FileMetadata, Problem> {
    let unreadable = |why: String| Problem::new(ProblemKind::UnreadableBody, why);
    let mut parser = MultipartParser::new(boundary);
    // The digests of the whole form. The file is a part of the form. The digests are calculated only if the request names digests.
    let mut form = (!expected_digests.is_empty()).then(|| {
        let digester = Digester::new(expected_digests.hashers());
        (digester, Batches::default())
    });
    let mut received_bytes = 0;
    let mut metadata = None;
    let mut is_file = false;
    let mut is_not_chosen = false;
    while let Some(piece) = body.next().await? {
        received_bytes += piece.len() as u64;
        if let Some((digester, batches)) = &mut form
            && let Some(batch) = batches.push(piece.clone())
        {
            digester.update(batch).await?;
        }
        parser.feed(piece);
        while let Some(event) = parser
            .next_event()
            .map_err(|error| unreadable(error.to_string()))?
        {
            match event {
                MultipartEvent::Part(head) if head.field.as_deref() == Some(FIELD) => {
                    if metadata.is_some() {
                        return Err(unreadable(format!(
                            "the form has the field {FIELD} twice; a device has one file"
                        )));
                    }
                    is_file = true;
                    is_not_chosen = head.file_name.as_deref() == Some("");
                    metadata = Some(describe(head)?);
                }
                MultipartEvent::Data(data) if is_file => receiver.push(data).await?,
                // Existing clients send other fields. These fields are ignored.
                MultipartEvent::Part(_) | MultipartEvent::Data(_) => {}
                MultipartEvent::PartEnd => is_file = false,
            }
        }
        if received_bytes - receiver.size_bytes() > OTHER_BYTES_MAX {
            return Err(Problem::new(
                ProblemKind::BodyTooLarge,
                format!(
                    "the form has more than {OTHER_BYTES_MAX} bytes beside the field {FIELD}; nothing was stored"
                ),
            ));
        }
    }
    if !parser.is_complete() {
        return Err(unreadable(
            "the form ends before its last boundary; nothing was stored".to_owned(),
        ));
    }
    let Some(mut metadata) = metadata else {
        return Err(unreadable(format!(
            "the form has no field {FIELD}; send it as curl -F '{FIELD}=@photo.png' does"
        )));
    };
    if is_not_chosen && receiver.size_bytes() == 0 {
        return Err(unreadable(format!(
            "no file was chosen for the field {FIELD}"
        )));
    }
    if let Some((digester, mut batches)) = form {
        metadata.form = Some(digester.finish(&batches.take()).await?);
    }
    Ok(metadata)
}

/// The metadata in the head of the part with the file.
fn describe(head: PartHead) -> Result<FileMetadata, Problem> {
    let unreadable = |why: String| Problem::new(ProblemKind::UnreadableBody, why);
    if let Some(encoding) = head.transfer_encoding
        && !matches!(encoding.as_str(), "binary" | "8bit" | "7bit")
    {
        return Err(unreadable(format!(
            "the field {FIELD} has the transfer encoding `{}`; send its bytes as they are",
            shortened(&encoding)
        )));
    }
    let content_type = match head.content_type {
        None => ContentType::default(),
        Some(text) => ContentType::new(&text).ok_or_else(|| {
            unreadable(format!(
                "the content type `{}` of the field {FIELD} is not one",
                shortened(&text)
            ))
        })?,
    };
    let name = file_name(head.file_name.as_deref())?;
    Ok(FileMetadata {
        content_type,
        name,
        form: None,
    })
}

fn file_name(text: Option<&str>) -> Result<Option<FileName>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    FileName::new(text).map(Some).ok_or_else(|| {
        Problem::new(
            ProblemKind::UnreadableBody,
            format!(
                "the file name `{}` is longer than {} characters, or holds a control character, or is a directory",
                shortened(text),
                FileName::CHARACTERS_MAX
            ),
        )
    })
}
