//! Bodies of forms, for APIs that were made for them: in parts, urlencoded, or as a flat JSON object.
//!
//! All three come out as the same fields with texts. Of a field that comes twice the last one counts, as in PHP; files
//! are passed over. What the texts mean is the business of whoever asked for them.

use std::collections::BTreeMap;

use axum::extract::Request;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, Full};
use multer::{Constraints, Multipart, SizeLimit};
use serde_json::{Map, Value};

use super::body::{self, BodyError};

/// The most fields of one form: far more than any API of this kind has.
const FIELDS_MAX: usize = 100;

/// The largest field in bytes: longer than any name, URL or token that is taken.
const FIELD_BYTES_MAX: usize = 64 << 10;

/// The fields of a form.
#[derive(Debug, Default)]
pub(crate) struct Form(BTreeMap<String, String>);

/// Why there is no form.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormError {
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Says what is wrong and holds no value of a field.
    #[error("{0}")]
    Malformed(String),
    #[error("the body has more than {FIELDS_MAX} fields, which is the limit")]
    TooManyFields,
    #[error("a field is larger than {FIELD_BYTES_MAX} bytes, which is the limit")]
    FieldTooLarge,
}

impl Form {
    /// Reads the body of a request to its bounds.
    pub(crate) async fn read(request: Request) -> Result<Self, FormError> {
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let body = body::read(request).await?;
        if body.is_empty() {
            return Ok(Self::default());
        }
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if media == "multipart/form-data" {
            return Self::of_parts(&content_type, body).await;
        }
        // Clients that name no type, or a wrong one, are told apart by what they send: no form begins with a brace.
        if media == "application/json" || body.trim_ascii_start().starts_with(b"{") {
            return Self::of_json(&body);
        }
        Self::of_pairs(&body)
    }

    /// What a field holds, if it was sent.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    async fn of_parts(content_type: &str, body: Bytes) -> Result<Self, FormError> {
        let boundary = multer::parse_boundary(content_type)
            .map_err(|_| FormError::Malformed("the Content-Type names no boundary of the parts".to_owned()))?;
        let limits = SizeLimit::new().per_field(FIELD_BYTES_MAX as u64);
        let constraints = Constraints::new().size_limit(limits);
        let mut parts = Multipart::with_constraints(Full::new(body).into_data_stream(), boundary, constraints);
        let mut form = Self::default();
        let mut count = 0;
        while let Some(part) = parts.next_field().await.map_err(|error| of_multer(&error))? {
            count += 1;
            if count > FIELDS_MAX {
                return Err(FormError::TooManyFields);
            }
            let name = part.name().map(ToOwned::to_owned);
            let is_file = part.file_name().is_some();
            let bytes = part.bytes().await.map_err(|error| of_multer(&error))?;
            let Some(name) = name.filter(|_| !is_file) else { continue };
            let text = String::from_utf8(bytes.into());
            let text = text.map_err(|_| FormError::Malformed("a field of the body is not UTF-8".to_owned()))?;
            form.0.insert(name, text);
        }
        Ok(form)
    }

    fn of_json(body: &[u8]) -> Result<Self, FormError> {
        let fields: Map<String, Value> = serde_json::from_slice(body).map_err(|error| {
            let what = if error.is_data() { "a JSON object" } else { "JSON" };
            FormError::Malformed(format!("the body is not {what}"))
        })?;
        let mut form = Self::default();
        for (name, value) in fields {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    let name: String = name.chars().take(100).collect();
                    return Err(FormError::Malformed(format!("{name}: must be a text, a number, true or false")));
                }
            };
            form.put(name, text)?;
        }
        Ok(form)
    }

    fn of_pairs(body: &[u8]) -> Result<Self, FormError> {
        let mut form = Self::default();
        for (count, (name, value)) in url::form_urlencoded::parse(body).enumerate() {
            if count >= FIELDS_MAX {
                return Err(FormError::TooManyFields);
            }
            form.put(name.into_owned(), value.into_owned())?;
        }
        Ok(form)
    }

    fn put(&mut self, name: String, text: String) -> Result<(), FormError> {
        if text.len() > FIELD_BYTES_MAX {
            return Err(FormError::FieldTooLarge);
        }
        self.0.insert(name, text);
        if self.0.len() > FIELDS_MAX { Err(FormError::TooManyFields) } else { Ok(()) }
    }
}

/// An error of the parser may repeat what was sent, so its kind is told and not its text.
fn of_multer(error: &multer::Error) -> FormError {
    match error {
        multer::Error::FieldSizeExceeded { .. } => FormError::FieldTooLarge,
        multer::Error::IncompleteHeaders | multer::Error::IncompleteFieldData { .. } => {
            FormError::Malformed("the body ends within a part".to_owned())
        }
        multer::Error::IncompleteStream => {
            FormError::Malformed("the body does not end with the boundary that the Content-Type names".to_owned())
        }
        _ => FormError::Malformed("the body is not multipart/form-data".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::BodyLimits;

    async fn read(content_type: &str, body: &str) -> Result<Vec<(String, String)>, String> {
        let mut request = Request::new(axum::body::Body::from(body.to_owned()));
        if !content_type.is_empty() {
            request.headers_mut().insert(CONTENT_TYPE, content_type.parse().unwrap());
        }
        let limits = BodyLimits { bytes_max: 10 << 20, timeout: std::time::Duration::from_secs(10) };
        request.extensions_mut().insert(limits);
        Form::read(request).await.map(|form| form.0.into_iter().collect()).map_err(|error| error.to_string())
    }

    fn parts(parts: &[(&str, &str)]) -> String {
        let one =
            |(head, text): &(&str, &str)| format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n");
        parts.iter().map(one).collect::<String>() + "--B--\r\n"
    }

    #[tokio::test]
    async fn fields_are_the_same_whatever_carries_them() {
        let expected = vec![("a".to_owned(), "1 & 2".to_owned()), ("b".to_owned(), "true".to_owned())];
        let check = async |content_type: &str, body: &str| {
            assert_eq!(read(content_type, body).await.as_ref(), Ok(&expected), "{content_type}: {body}");
        };
        let in_parts = parts(&[("name=\"a\"", "0"), ("name=\"b\"", "true"), ("name=\"a\"", "1 & 2")]);
        check("multipart/form-data; boundary=B", &in_parts).await;
        check("Multipart/Form-Data;charset=utf-8;boundary=\"B\"", &in_parts).await;
        let with_file = parts(&[
            ("name=\"a\"", "1 & 2"),
            ("name=\"b\"", "true"),
            ("name=\"b\"; filename=\"b.txt\"\r\nContent-Type: text/plain", "a file"),
        ]);
        check("multipart/form-data; boundary=B", &with_file).await;
        for content_type in ["application/x-www-form-urlencoded", "text/plain", ""] {
            check(content_type, "a=0&b=true&a=1+%26+2").await;
            check(content_type, r#" {"a": "1 & 2", "b": true, "c": null}"#).await;
        }
        check("application/json; charset=utf-8", r#"{"a": 0, "b": true, "a": "1 & 2"}"#).await;
    }

    #[tokio::test]
    async fn nothing_is_an_empty_form() {
        for content_type in ["multipart/form-data; boundary=B", "multipart/form-data", "application/json", ""] {
            assert_eq!(read(content_type, "").await, Ok(Vec::new()), "{content_type}");
        }
        assert_eq!(read("multipart/form-data; boundary=B", "--B--\r\n").await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn what_is_no_form_is_said_without_its_values() {
        let check = async |content_type: &str, body: &str, expected: &str| {
            let error = read(content_type, body).await.unwrap_err();
            assert!(error.contains(expected) && !error.contains("canary"), "{content_type} {body}: {error}");
        };
        let whole = parts(&[("name=\"a\"", "canary")]);
        check("multipart/form-data", &whole, "names no boundary").await;
        check("multipart/form-data; boundary=C", &whole, "").await;
        check("multipart/form-data; boundary=B", &whole[..whole.len() - 6], "the body ends within a part").await;
        check("multipart/form-data; boundary=B", "canary", "").await;
        check("multipart/form-data; boundary=B", "--B\r\ncanary\r\n\r\n", "").await;
        check("application/json", "canary", "the body is not JSON").await;
        check("application/json", "[1]", "not a JSON object").await;
        check("application/json", r#"{"a": ["canary"]}"#, "a: must be a text").await;
        let many: Vec<_> = (0..101).map(|number| format!("f{number}=x")).collect();
        check("", &many.join("&"), "more than 100 fields").await;
        let large = "x".repeat(FIELD_BYTES_MAX + 1);
        check("", &format!("a={large}"), "larger than").await;
        check("multipart/form-data; boundary=B", &parts(&[("name=\"a\"", &large)]), "larger than").await;
        check("application/json", &format!("{{\"a\": \"{large}\"}}"), "larger than").await;
        let many: Vec<_> = (0..101).map(|_| ("name=\"a\"", "x")).collect();
        check("multipart/form-data; boundary=B", &parts(&many), "more than 100 fields").await;
    }
}
