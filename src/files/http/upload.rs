//! `PUT /api/devices/{id}`: the field `file` of a form, or the body as it is.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use http_body::Body as _;

use super::digests::{Digester, Digests, ExpectedDigests};
use super::form::{FormEvent, FormParser};
use super::form_head::{self, PartHead};
use super::receive::{Received, Receiver, too_large};
use super::{FileRoutes, conditional, device_id, queries};
use crate::files::{ContentType, DeviceId, FileInfo, FileName, Publication};
use crate::http::body::Chunks;
use crate::http::extract::{PathPart, RawQuery, shortened};
use crate::http::json::write_string;
use crate::http::{Problem, ProblemKind};

/// The field of a form that is the file.
const FIELD: &str = "file";

/// How much of a form may be something else than the file: heads, other fields, texts around them.
const AROUND_BYTES_MAX: u64 = 1 << 20;

/// How long a condition is looked at before the file is received: time that a client waits in addition to all else.
const EARLY_LOOK_MAX: Duration = Duration::from_secs(1);

/// Stores a device's file, in place of the one before.
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
    let around_bytes_max = match kind {
        BodyKind::Form(_) => AROUND_BYTES_MAX,
        BodyKind::File(_) => 0,
    };
    if body.size_hint().lower() > bytes_max.saturating_add(around_bytes_max) {
        return Err(too_large(bytes_max));
    }
    let _transfer = routes.transfer()?;
    if !condition.is_empty() {
        // Looked at again at the moment of publication; now it may save the whole transfer. A store that is slow is not waited for.
        let looking = routes.store.info(&device);
        if let Ok(current) = tokio::time::timeout(EARLY_LOOK_MAX, looking).await
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

/// What existing clients read, and what the next condition needs.
fn stored(device: &DeviceId, info: &FileInfo) -> Response {
    let mut out = b"{\"message\":".to_vec();
    let message = format!("File uploaded for Device ID - {device}");
    write_string(&mut out, &message);
    out.push(b'}');
    let mut response = queries::json(out);
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", info.tag())) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// How the file is in the body.
enum BodyKind {
    /// It is the body, of this type.
    File(ContentType),
    /// It is a field of a form with this boundary.
    Form(String),
}

impl BodyKind {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let unsupported = |why: String| Problem::new(ProblemKind::UnsupportedMediaType, why);
        if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
            && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            return Err(unsupported(
                "a file is stored as it is sent: send it without Content-Encoding, and a compressed file as the file it is"
                    .to_owned(),
            )
            .accept_encoding("identity"));
        }
        let Some(value) = headers.get(header::CONTENT_TYPE) else {
            return Ok(Self::File(ContentType::default()));
        };
        let text = value.to_str().unwrap_or_default();
        let essence = text.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("multipart/form-data") {
            return form_head::boundary(text).map(Self::Form).ok_or_else(|| {
                Problem::new(
                    ProblemKind::UnreadableBody,
                    "the content type multipart/form-data names no boundary, or none that RFC 2046 allows",
                )
            });
        }
        let is_multipart = essence
            .get(..10)
            .is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/"));
        match ContentType::new(text) {
            Some(content_type) if !is_multipart => Ok(Self::File(content_type)),
            _ => Err(unsupported(format!(
                "the content type `{}` is not understood: send multipart/form-data with the field {FIELD}, or the bytes of \
                 the file with its own type, such as image/png",
                shortened(text)
            ))),
        }
    }
}

/// What a request says of the file that it brings.
struct FileMetadata {
    content_type: ContentType,
    name: Option<FileName>,
    /// Of the whole form, where digests were promised.
    around: Option<Digests>,
}

impl FileMetadata {
    /// A body that is the file may be named by a header.
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
            around: None,
        })
    }

    /// A digest of a form may be meant of the form, as RFC 9530 has it, or of the file, which is what people can calculate.
    /// Either proves that the file is whole.
    fn check(
        &self,
        expected_digests: &ExpectedDigests,
        received: &Received,
    ) -> Result<(), Problem> {
        match &self.around {
            Some(around) => expected_digests.check(&[&received.digests, around]),
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
    let mut parser = FormParser::new(boundary);
    let mut whole =
        (!expected_digests.is_empty()).then(|| Digester::new(expected_digests.hashers()));
    let mut received_bytes = 0;
    let mut metadata = None;
    let mut is_file = false;
    let mut is_unchosen = false;
    while let Some(piece) = body.next().await? {
        received_bytes += piece.len() as u64;
        if let Some(whole) = &mut whole {
            whole.push(piece.clone()).await?;
        }
        parser.feed(piece);
        while let Some(event) = parser
            .next()
            .map_err(|error| unreadable(error.to_string()))?
        {
            match event {
                FormEvent::Part(head) if head.field.as_deref() == Some(FIELD) => {
                    if metadata.is_some() {
                        return Err(unreadable(format!(
                            "the form has the field {FIELD} twice; a device has one file"
                        )));
                    }
                    is_file = true;
                    is_unchosen = head.file_name.as_deref() == Some("");
                    metadata = Some(describe(head)?);
                }
                FormEvent::Data(data) if is_file => receiver.push(data).await?,
                // Other fields are ignored: forms in the field have some.
                FormEvent::Part(_) | FormEvent::Data(_) => {}
                FormEvent::PartEnd => is_file = false,
            }
        }
        if received_bytes - receiver.size_bytes() > AROUND_BYTES_MAX {
            return Err(Problem::new(
                ProblemKind::BodyTooLarge,
                format!(
                    "the form has more than {AROUND_BYTES_MAX} bytes beside the field {FIELD}; nothing was stored"
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
    if is_unchosen && receiver.size_bytes() == 0 {
        return Err(unreadable(format!(
            "no file was chosen for the field {FIELD}"
        )));
    }
    if let Some(whole) = whole {
        metadata.around = Some(whole.finish().await?);
    }
    Ok(metadata)
}

/// What a part says of the file in it.
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
        around: None,
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
